-- How many tasks each agent has, by principal and state, kept by triggers: a list says how many tasks
-- match on all its pages, and counting a million of them takes a tenth of a second.
-- The principals task:<id> are many with a few tasks each, so they share one row; a list of one of
-- them counts by its index.

CREATE TABLE task_counts (
    agent_id  TEXT    NOT NULL,
    principal TEXT    NOT NULL,       -- 'task:' for all harnesses together
    state     INTEGER NOT NULL,
    tasks     INTEGER NOT NULL,
    PRIMARY KEY (agent_id, principal, state)
) STRICT, WITHOUT ROWID;

INSERT INTO task_counts (agent_id, principal, state, tasks)
SELECT agent_id, CASE WHEN principal LIKE 'task:%' THEN 'task:' ELSE principal END AS kind, state, count(*)
FROM tasks GROUP BY agent_id, kind, state;

CREATE TRIGGER tasks_counted_in
AFTER INSERT ON tasks
BEGIN
    INSERT INTO task_counts (agent_id, principal, state, tasks)
    VALUES (NEW.agent_id, CASE WHEN NEW.principal LIKE 'task:%' THEN 'task:' ELSE NEW.principal END, NEW.state, 1)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tasks_counted_over
AFTER UPDATE OF state ON tasks
WHEN OLD.state <> NEW.state
BEGIN
    UPDATE task_counts SET tasks = tasks - 1
    WHERE agent_id = OLD.agent_id AND state = OLD.state
      AND principal = CASE WHEN OLD.principal LIKE 'task:%' THEN 'task:' ELSE OLD.principal END;
    INSERT INTO task_counts (agent_id, principal, state, tasks)
    VALUES (NEW.agent_id, CASE WHEN NEW.principal LIKE 'task:%' THEN 'task:' ELSE NEW.principal END, NEW.state, 1)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tasks_counted_out
AFTER DELETE ON tasks
BEGIN
    UPDATE task_counts SET tasks = tasks - 1
    WHERE agent_id = OLD.agent_id AND state = OLD.state
      AND principal = CASE WHEN OLD.principal LIKE 'task:%' THEN 'task:' ELSE OLD.principal END;
END;
