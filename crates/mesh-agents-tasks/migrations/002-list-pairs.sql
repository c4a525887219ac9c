-- Lists by two filters. With one index for each filter alone, a pair that few tasks match (another's
-- failed ones) reads all that match the first: 40 to 400 ms among a million tasks; so it is read here.

CREATE INDEX tasks_by_agent_state     ON tasks (agent_id, state, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_principal_agent ON tasks (principal, agent_id, updated_ms DESC, id DESC) WHERE principal <> 'local';
CREATE INDEX tasks_by_principal_state ON tasks (principal, state, updated_ms DESC, id DESC) WHERE principal <> 'local';
