-- The first schema: tasks, their event log, attempts, artifacts and the keys of submits.
-- States are A2A's numbers (a2a.proto TaskState). Times are milliseconds since the Unix epoch.

CREATE TABLE tasks (
    id             TEXT    NOT NULL PRIMARY KEY,
    agent_id       TEXT    NOT NULL,
    context_id     TEXT    NOT NULL,
    principal      TEXT    NOT NULL,
    state          INTEGER NOT NULL CHECK (state BETWEEN 1 AND 8),
    stopping       TEXT,              -- why the run is being stopped, NULL when it is not
    status_message TEXT,              -- JSON
    failure        TEXT,              -- JSON
    parent         TEXT,
    depth          INTEGER NOT NULL,
    attempt        INTEGER NOT NULL DEFAULT 0,
    summary        TEXT    NOT NULL,
    metadata       TEXT,              -- JSON, as the caller sent it
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    last_event_ms  INTEGER NOT NULL,
    event_bytes    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One index for each order a list is read in; every list is newest change first.
CREATE INDEX tasks_by_time      ON tasks (updated_ms DESC, id DESC);
CREATE INDEX tasks_by_agent     ON tasks (agent_id, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_state     ON tasks (state, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_context   ON tasks (context_id, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_principal ON tasks (principal, updated_ms DESC, id DESC) WHERE principal <> 'local';

-- A terminal task never changes, whoever writes.
CREATE TRIGGER tasks_terminal_is_final
BEFORE UPDATE ON tasks
WHEN OLD.state IN (3, 4, 5, 7)
BEGIN
    SELECT RAISE(ABORT, 'a terminal task never changes');
END;

-- The truth. A task row is a reading of its events.
CREATE TABLE events (
    task_id TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    body    TEXT    NOT NULL,         -- JSON
    PRIMARY KEY (task_id, seq)
) STRICT, WITHOUT ROWID;

-- A history is a handful among up to 100,000 events.
CREATE INDEX events_messages ON events (task_id, seq) WHERE kind = 'message';

CREATE TABLE attempts (
    task_id    TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    run_id     TEXT    NOT NULL,
    definition TEXT    NOT NULL,      -- digest of the agent's files it was started with
    pid        INTEGER,               -- of the run's guard
    birth      INTEGER,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    PRIMARY KEY (task_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    task_id     TEXT    NOT NULL,
    artifact_id TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    partial     INTEGER NOT NULL,
    PRIMARY KEY (task_id, artifact_id)
) STRICT, WITHOUT ROWID;

-- Keys of submits: a repeat under the same key is the same task. Several keys may name one task.
CREATE TABLE submits (
    agent       TEXT    NOT NULL,     -- as the caller wrote it
    principal   TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    body_hash   TEXT    NOT NULL,     -- SHA-256 over the JCS form of the request
    task_id     TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    instance    TEXT,                 -- front-end process that minted the key, NULL for a caller's own
    answered_ms INTEGER,              -- when that front-end was answered
    matched     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (agent, principal, message_id)
) STRICT, WITHOUT ROWID;

-- For the host's own re-send of a call whose plugin died (host-contract T2).
CREATE INDEX submits_unmatched ON submits (body_hash, created_ms) WHERE instance IS NOT NULL AND matched = 0;
