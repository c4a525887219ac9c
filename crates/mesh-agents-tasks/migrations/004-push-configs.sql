-- Who wants to be told what happens to a task (A2A push notifications), and how far each was told.
-- The log is the truth and a notification is a reading of it: nothing is queued, a cursor moves.

CREATE TABLE push_configs (
    task_id     TEXT    NOT NULL,
    config_id   TEXT    NOT NULL,
    revision    TEXT    NOT NULL,     -- new with every put: what was sent for an older one does not count
    url         TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,     -- host and port of the url
    token       TEXT,
    scheme      TEXT,
    credentials TEXT,
    sent_seq    INTEGER NOT NULL,     -- events up to here were told, or are not to be
    wanted_seq  INTEGER NOT NULL,     -- the newest event to tell of
    next_ms     INTEGER NOT NULL,     -- not before this
    attempts    INTEGER NOT NULL DEFAULT 0, -- failed ones for the event that is next
    failing_ms  INTEGER,              -- since when they fail, NULL when the newest did not
    gave_up     TEXT,                 -- why nothing is sent any more
    PRIMARY KEY (task_id, config_id)
) STRICT, WITHOUT ROWID;

-- What is owed, by when it may be sent.
CREATE INDEX push_configs_due ON push_configs (next_ms) WHERE gave_up IS NULL AND sent_seq < wanted_seq;

-- Events worth telling are a handful among up to 100,000.
CREATE INDEX events_told ON events (task_id, seq) WHERE kind IN ('state', 'artifact');

-- In the transaction of the event itself, whoever writes it.
CREATE TRIGGER push_configs_want
AFTER INSERT ON events
WHEN NEW.kind IN ('state', 'artifact')
BEGIN
    UPDATE push_configs SET wanted_seq = NEW.seq WHERE task_id = NEW.task_id;
END;

-- Secrets do not outlive the task they were for.
CREATE TRIGGER push_configs_go_with_their_task
AFTER DELETE ON tasks
BEGIN
    DELETE FROM push_configs WHERE task_id = OLD.id;
END;
