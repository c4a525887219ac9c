-- Tasks of agents on other nodes: the node may be out of reach, a message may wait for it, and an artifact's
-- content may still be there alone.
ALTER TABLE tasks ADD COLUMN unreachable_ms INTEGER;   -- since when who works on it is out of reach
ALTER TABLE tasks ADD COLUMN deliver_ms INTEGER;       -- until when the message waits for its node
ALTER TABLE artifacts ADD COLUMN remote TEXT;          -- what it is called where its content is fetched from

CREATE INDEX tasks_undelivered ON tasks (deliver_ms) WHERE deliver_ms IS NOT NULL;
