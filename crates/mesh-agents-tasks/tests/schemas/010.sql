-- A database of schema 10, to be opened by every later version. Never edited.
PRAGMA application_id = 1296388936;
PRAGMA user_version = 10;
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
, again TEXT, unreachable_ms INTEGER, deliver_ms INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    task_id TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    body    TEXT    NOT NULL,         -- JSON
    PRIMARY KEY (task_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
    task_id    TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    run_id     TEXT    NOT NULL,
    definition TEXT    NOT NULL,      -- digest of the agent's files it was started with
    pid        INTEGER,               -- of the run's guard
    birth      INTEGER,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER, session_id TEXT, resumable INTEGER NOT NULL DEFAULT 0, resumed INTEGER NOT NULL DEFAULT 0, base_seq INTEGER NOT NULL DEFAULT 0, deadline_ms INTEGER, max_attempts INTEGER NOT NULL DEFAULT 1, retry INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE artifacts (
    task_id     TEXT    NOT NULL,
    artifact_id TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    partial     INTEGER NOT NULL, remote TEXT,
    PRIMARY KEY (task_id, artifact_id)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE questions (
    task_id     TEXT    NOT NULL,
    seq         INTEGER NOT NULL,     -- of its event; the oldest is the one shown
    question_id TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    options     TEXT    NOT NULL,     -- JSON
    expires_ms  INTEGER NOT NULL,     -- when no answer is the answer
    PRIMARY KEY (task_id, seq)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE removals (
    task_id  TEXT NOT NULL PRIMARY KEY,
    agent_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE task_counts (
    agent_id  TEXT    NOT NULL,
    principal TEXT    NOT NULL,       -- 'task:' for all harnesses together
    state     INTEGER NOT NULL,
    tasks     INTEGER NOT NULL,
    PRIMARY KEY (agent_id, principal, state)
) STRICT, WITHOUT ROWID;
CREATE TABLE mesh_facts (
    kind TEXT NOT NULL,
    id   TEXT NOT NULL,
    body TEXT NOT NULL,               -- JSON
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_time      ON tasks (updated_ms DESC, id DESC);
CREATE INDEX tasks_by_agent     ON tasks (agent_id, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_state     ON tasks (state, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_context   ON tasks (context_id, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_principal ON tasks (principal, updated_ms DESC, id DESC) WHERE principal <> 'local';
CREATE INDEX events_messages ON events (task_id, seq) WHERE kind = 'message';
CREATE INDEX submits_unmatched ON submits (body_hash, created_ms) WHERE instance IS NOT NULL AND matched = 0;
CREATE INDEX tasks_by_agent_state     ON tasks (agent_id, state, updated_ms DESC, id DESC);
CREATE INDEX tasks_by_principal_agent ON tasks (principal, agent_id, updated_ms DESC, id DESC) WHERE principal <> 'local';
CREATE INDEX tasks_by_principal_state ON tasks (principal, state, updated_ms DESC, id DESC) WHERE principal <> 'local';
CREATE INDEX push_configs_due ON push_configs (next_ms) WHERE gave_up IS NULL AND sent_seq < wanted_seq;
CREATE INDEX events_told ON events (task_id, seq) WHERE kind IN ('state', 'artifact');
CREATE INDEX submits_by_age ON submits (created_ms);
CREATE INDEX tasks_undelivered ON tasks (deliver_ms) WHERE deliver_ms IS NOT NULL;
CREATE INDEX artifacts_by_digest ON artifacts (sha256, bytes, remote);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000001', 'reviewer', 'ctx.of:someone', 'local', 1, NULL, NULL, NULL, NULL, 0, 0, 'look at change 1', '{"b":1,"a":[1.0,null]}', 1790000000010, 1790000000010, 1, 1, 1790000000010, 198, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000002', 'reviewer', 'ctx.of:someone', 'local', 2, NULL, NULL, NULL, NULL, 0, 1, 'look at change 2', '{"b":1,"a":[1.0,null]}', 1790000000020, 1790000000200, 6, 11, 1790000000202, 965, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000003', 'reviewer', 'ctx.of:someone', 'task:task-01M3250V000000000000000002', 6, NULL, '{"message_id":"msg-01M3250V010000000000000005","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000002","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}', NULL, 'task-01M3250V000000000000000002', 1, 1, 'look at change 3', '{"b":1,"a":[1.0,null]}', 1790000000030, 1790000000252, 9, 17, 1790000000252, 2238, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000004', 'reviewer', 'ctx.of:someone', 'token:ci', 8, NULL, NULL, NULL, NULL, 0, 1, 'look at change 4', '{"b":1,"a":[1.0,null]}', 1790000000040, 1790000000300, 7, 12, 1790000000300, 1000, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000005', 'reviewer', 'ctx.of:someone', 'local', 2, 'canceled', NULL, NULL, NULL, 0, 1, 'look at change 5', '{"b":1,"a":[1.0,null]}', 1790000000050, 1790000000200, 7, 12, 1790000000300, 983, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000006', 'reviewer', 'ctx.of:someone', 'local', 3, NULL, NULL, NULL, NULL, 0, 1, 'look at change 6', '{"b":1,"a":[1.0,null]}', 1790000000060, 1790000000300, 7, 13, 1790000000300, 1128, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000007', 'reviewer', 'ctx.of:someone', 'local', 4, NULL, '{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"it left with status 7\n\nThe last lines of its standard error:\noh no\n"}}]}', '{"code":"harness_exited","message":"it left with status 7","stderr_tail":"oh no\n"}', NULL, 0, 1, 'look at change 7', '{"b":1,"a":[1.0,null]}', 1790000000070, 1790000000300, 7, 12, 1790000000300, 1265, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000008', 'reviewer', 'ctx.of:someone', 'local', 5, NULL, NULL, NULL, NULL, 0, 1, 'look at change 8', '{"b":1,"a":[1.0,null]}', 1790000000080, 1790000000300, 8, 13, 1790000000300, 1013, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V000000000000000009', 'reviewer', 'ctx.of:someone', 'local', 7, NULL, '{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"not my line of work"}}]}', '{"code":"refused","message":"not my line of work"}', NULL, 0, 0, 'look at change 9', '{"b":1,"a":[1.0,null]}', 1790000000090, 1790000000300, 2, 2, 1790000000300, 415, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V00000000000000000A', 'reviewer', 'ctx.of:someone', 'local', 4, NULL, '{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"the agent''s directory was removed while the task waited; put it back and send the message again"}}]}', '{"code":"agent_removed","message":"the agent''s directory was removed while the task waited; put it back and send the message again"}', NULL, 0, 0, 'look at change 10', '{"b":1,"a":[1.0,null]}', 1790000000100, 1790000000300, 2, 2, 1790000000300, 572, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V00000000000000000N', 'reviewer', 'ctx.of:someone', 'local', 1, NULL, NULL, NULL, NULL, 0, 1, 'look at change 21', '{"b":1,"a":[1.0,null]}', 1790000000210, 1790000000300, 7, 12, 1790000000300, 997, 'resume', NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V00000000000000000P', 'reviewer', 'ctx.of:someone', 'local', 6, NULL, '{"message_id":"msg-01M3250V010000000000000005","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000002","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}', NULL, NULL, 0, 1, 'look at change 22', '{"b":1,"a":[1.0,null]}', 1790000000220, 1790000000252, 10, 17, 1790000000252, 2239, 'answer', NULL, NULL);
INSERT INTO tasks VALUES ('task-01M3250V00000000000000000Q', 'reviewer', 'ctx.of:someone', 'local', 1, NULL, '{"message_id":"msg-01M3250V010000000000000009","role":"agent","parts":[{"content":{"text":"queued"}}]}', NULL, NULL, 0, 0, 'look at change 23', '{"b":1,"a":[1.0,null]}', 1790000000230, 1790000000230, 1, 3, 1790000000230, 376, NULL, NULL, 1790000009000);
INSERT INTO tasks VALUES ('task-01M3250V00000000000000000R', 'reviewer', 'ctx.of:someone', 'local', 2, NULL, NULL, NULL, NULL, 0, 1, 'look at change 24', '{"b":1,"a":[1.0,null]}', 1790000000240, 1790000000241, 7, 12, 1790000000241, 1058, NULL, 1790000000241, NULL);
INSERT INTO events VALUES ('task-01M3250V000000000000000001', 1, 1790000000010, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 1: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 1, 1790000000020, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 2: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000002"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000002', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 1, 1790000000030, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 3: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000003"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 12, 1790000000250, 'question', '{"question":{"id":"q-00000000090000000000000001","question":"permission","text":"May I?","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 13, 1790000000250, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000004","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000001","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 14, 1790000000250, 'question', '{"question":{"id":"q-00000000090000000000000002","question":"permission","text":"May I?","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 15, 1790000000250, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000004","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000001","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 16, 1790000000251, 'question_gone', '{"question_gone":{"id":"q-00000000090000000000000001","chosen":"allow"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000003', 17, 1790000000251, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000005","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000002","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 1, 1790000000040, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 4: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000004"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000004', 12, 1790000000300, 'state', '{"state":{"state":"auth_required"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 1, 1790000000050, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 5: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000005"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000005', 12, 1790000000300, 'cancel_requested', '"cancel_requested"');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 1, 1790000000060, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 6: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000006"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 12, 1790000000300, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"All is well."}}]}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000006', 13, 1790000000300, 'state', '{"state":{"state":"completed"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 1, 1790000000070, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 7: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000007"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000007', 12, 1790000000300, 'state', '{"state":{"state":"failed","message":{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"it left with status 7\n\nThe last lines of its standard error:\noh no\n"}}]},"failure":{"code":"harness_exited","message":"it left with status 7","stderr_tail":"oh no\n"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 1, 1790000000080, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 8: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 2, 1790000000200, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-00000000070000000000000008"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 3, 1790000000200, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 4, 1790000000201, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 5, 1790000000201, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 6, 1790000000201, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 7, 1790000000201, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 8, 1790000000201, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 9, 1790000000201, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 10, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 11, 1790000000202, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 12, 1790000000300, 'cancel_requested', '"cancel_requested"');
INSERT INTO events VALUES ('task-01M3250V000000000000000008', 13, 1790000000300, 'state', '{"state":{"state":"canceled"}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000009', 1, 1790000000090, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 9: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V000000000000000009', 2, 1790000000300, 'state', '{"state":{"state":"rejected","message":{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"not my line of work"}}]},"failure":{"code":"refused","message":"not my line of work"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000A', 1, 1790000000100, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 10: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000A', 2, 1790000000300, 'state', '{"state":{"state":"failed","message":{"message_id":"msg-01M3250V010000000000000002","role":"agent","parts":[{"content":{"text":"the agent''s directory was removed while the task waited; put it back and send the message again"}}]},"failure":{"code":"agent_removed","message":"the agent''s directory was removed while the task waited; put it back and send the message again"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 1, 1790000000210, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 21: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 2, 1790000000210, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-0000000007000000000000000N"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 3, 1790000000210, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 4, 1790000000211, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 5, 1790000000211, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 6, 1790000000211, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 7, 1790000000211, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 8, 1790000000211, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 9, 1790000000211, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 10, 1790000000211, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 11, 1790000000211, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000N', 12, 1790000000300, 'state', '{"state":{"state":"submitted"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 1, 1790000000220, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 22: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 2, 1790000000220, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-0000000007000000000000000P"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 3, 1790000000220, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 4, 1790000000221, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 5, 1790000000221, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 6, 1790000000221, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 7, 1790000000221, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 8, 1790000000221, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 9, 1790000000221, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 10, 1790000000221, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 11, 1790000000221, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 12, 1790000000250, 'question', '{"question":{"id":"q-00000000090000000000000001","question":"permission","text":"May I?","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 13, 1790000000250, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000004","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000001","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 14, 1790000000250, 'question', '{"question":{"id":"q-00000000090000000000000002","question":"permission","text":"May I?","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 15, 1790000000250, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000004","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000001","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 16, 1790000000251, 'question_gone', '{"question_gone":{"id":"q-00000000090000000000000001","chosen":"allow"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000P', 17, 1790000000251, 'state', '{"state":{"state":"input_required","message":{"message_id":"msg-01M3250V010000000000000005","role":"agent","parts":[{"content":{"text":"May I?"}},{"content":{"data":{"question_id":"q-00000000090000000000000002","kind":"permission","options":[{"id":"allow","name":"Allow","kind":"allow_once"}]}}}]}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000Q', 1, 1790000000230, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 23: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000Q', 2, 1790000000230, 'waits', '{"waits":{"until":1790000009000}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000Q', 3, 1790000000230, 'state', '{"state":{"state":"submitted","message":{"message_id":"msg-01M3250V010000000000000009","role":"agent","parts":[{"content":{"text":"queued"}}]}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 1, 1790000000240, 'message', '{"message":{"message":{"message_id":"msg-01M3250V010000000000000000","role":"user","parts":[{"content":{"text":"look at change 24: it''s \"new\"\nand ümlauted"}}],"metadata":{"n":9007199254740993}}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 2, 1790000000240, 'attempt', '{"attempt":{"attempt":1,"run_id":"run-0000000007000000000000000R"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 3, 1790000000240, 'state', '{"state":{"state":"working"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 4, 1790000000241, 'session', '{"session":{"session_id":"s-1","resumable":true}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 5, 1790000000241, 'text', '{"text":{"text":"I look.\n''quoted''"}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 6, 1790000000241, 'tool_call', '{"tool_call":{"call":{"id":"call-1","title":"read","tool":"read"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 7, 1790000000241, 'plan', '{"plan":{"entries":[{"content":"first","status":"pending"}]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 8, 1790000000241, 'usage', '{"usage":{"used":5,"size":9}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 9, 1790000000241, 'note', '{"note":{"code":"unconfined","text":"no Landlock here","data":[1]}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 10, 1790000000241, 'artifact', '{"artifact":{"artifact":{"id":"summary.md","media_type":"text/markdown","bytes":12,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","partial":false,"remote":"there/summary.md"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 11, 1790000000241, 'artifact', '{"artifact":{"artifact":{"id":"out/findings.json","media_type":"text/markdown","bytes":12,"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","partial":false,"remote":"there/out/findings.json"}}}');
INSERT INTO events VALUES ('task-01M3250V00000000000000000R', 12, 1790000000241, 'reach', '{"reach":{"away":"no route"}}');
INSERT INTO attempts VALUES ('task-01M3250V000000000000000002', 1, 'run-00000000070000000000000002', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000003', 1, 'run-00000000070000000000000003', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 0);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000004', 1, 'run-00000000070000000000000004', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000005', 1, 'run-00000000070000000000000005', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 0);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000006', 1, 'run-00000000070000000000000006', 'digest', 4194304, 17, 1790000000200, 1790000000300, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000007', 1, 'run-00000000070000000000000007', 'digest', 4194304, 17, 1790000000200, 1790000000300, 's-1', 1, 0, 2, 1790003600200, 2, 0);
INSERT INTO attempts VALUES ('task-01M3250V000000000000000008', 1, 'run-00000000070000000000000008', 'digest', 4194304, 17, 1790000000200, 1790000000300, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO attempts VALUES ('task-01M3250V00000000000000000N', 1, 'run-0000000007000000000000000N', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 0);
INSERT INTO attempts VALUES ('task-01M3250V00000000000000000P', 1, 'run-0000000007000000000000000P', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO attempts VALUES ('task-01M3250V00000000000000000R', 1, 'run-0000000007000000000000000R', 'digest', 4194304, 17, 1790000000200, NULL, 's-1', 1, 0, 2, 1790003600200, 2, 1);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000002', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000002', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000003', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000003', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000004', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000004', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000005', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000005', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000006', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000006', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000007', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000007', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000008', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V000000000000000008', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000N', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000N', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000P', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000P', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, NULL);
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000R', 'out/findings.json', 'text/markdown', 12, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 0, 'there/out/findings.json');
INSERT INTO artifacts VALUES ('task-01M3250V00000000000000000R', 'summary.md', 'text/markdown', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, 'there/summary.md');
INSERT INTO submits VALUES ('reviewer', 'local', 'm-1', '0000000000000000000000000000000000000000000000000000000000000001', 'task-01M3250V000000000000000001', 1790000000010, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-10', '000000000000000000000000000000000000000000000000000000000000000a', 'task-01M3250V00000000000000000A', 1790000000100, '00000000010000000000000001', 1790000000100, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-2', '0000000000000000000000000000000000000000000000000000000000000002', 'task-01M3250V000000000000000002', 1790000000020, '00000000010000000000000001', 1790000000020, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-21', '0000000000000000000000000000000000000000000000000000000000000015', 'task-01M3250V00000000000000000N', 1790000000210, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-22', '0000000000000000000000000000000000000000000000000000000000000016', 'task-01M3250V00000000000000000P', 1790000000220, '00000000010000000000000001', 1790000000220, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-23', '0000000000000000000000000000000000000000000000000000000000000017', 'task-01M3250V00000000000000000Q', 1790000000230, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-24', '0000000000000000000000000000000000000000000000000000000000000018', 'task-01M3250V00000000000000000R', 1790000000240, '00000000010000000000000001', 1790000000240, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-5', '0000000000000000000000000000000000000000000000000000000000000005', 'task-01M3250V000000000000000005', 1790000000050, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-6', '0000000000000000000000000000000000000000000000000000000000000006', 'task-01M3250V000000000000000006', 1790000000060, '00000000010000000000000001', 1790000000060, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-7', '0000000000000000000000000000000000000000000000000000000000000007', 'task-01M3250V000000000000000007', 1790000000070, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-8', '0000000000000000000000000000000000000000000000000000000000000008', 'task-01M3250V000000000000000008', 1790000000080, '00000000010000000000000001', 1790000000080, 0);
INSERT INTO submits VALUES ('reviewer', 'local', 'm-9', '0000000000000000000000000000000000000000000000000000000000000009', 'task-01M3250V000000000000000009', 1790000000090, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'task:task-01M3250V000000000000000002', 'm-3', '0000000000000000000000000000000000000000000000000000000000000003', 'task-01M3250V000000000000000003', 1790000000030, NULL, NULL, 0);
INSERT INTO submits VALUES ('reviewer', 'token:ci', 'm-4', '0000000000000000000000000000000000000000000000000000000000000004', 'task-01M3250V000000000000000004', 1790000000040, '00000000010000000000000001', 1790000000040, 0);
INSERT INTO questions VALUES ('task-01M3250V000000000000000003', 14, 'q-00000000090000000000000002', '"permission"', 'May I?', '[{"id":"allow","name":"Allow","kind":"allow_once"}]', 1790000009000);
INSERT INTO questions VALUES ('task-01M3250V00000000000000000P', 14, 'q-00000000090000000000000002', '"permission"', 'May I?', '[{"id":"allow","name":"Allow","kind":"allow_once"}]', 1790000009000);
INSERT INTO push_configs VALUES ('task-01M3250V000000000000000005', 'push-5', '00000000030000000000000005', 'https://hooks.example/x?y=1', 'hooks.example:443', 't''oken', 'Bearer', 'secret', 0, 11, 0, 0, NULL, NULL);
INSERT INTO push_configs VALUES ('task-01M3250V00000000000000000A', 'push-10', '0000000003000000000000000A', 'https://hooks.example/x?y=1', 'hooks.example:443', 't''oken', 'Bearer', 'secret', 0, 2, 0, 0, NULL, NULL);
INSERT INTO task_counts VALUES ('reviewer', 'local', 1, 3);
INSERT INTO task_counts VALUES ('reviewer', 'local', 2, 3);
INSERT INTO task_counts VALUES ('reviewer', 'local', 3, 1);
INSERT INTO task_counts VALUES ('reviewer', 'local', 4, 2);
INSERT INTO task_counts VALUES ('reviewer', 'local', 5, 1);
INSERT INTO task_counts VALUES ('reviewer', 'local', 6, 1);
INSERT INTO task_counts VALUES ('reviewer', 'local', 7, 1);
INSERT INTO task_counts VALUES ('reviewer', 'task:', 1, 0);
INSERT INTO task_counts VALUES ('reviewer', 'task:', 2, 0);
INSERT INTO task_counts VALUES ('reviewer', 'task:', 6, 1);
INSERT INTO task_counts VALUES ('reviewer', 'token:ci', 1, 0);
INSERT INTO task_counts VALUES ('reviewer', 'token:ci', 2, 0);
INSERT INTO task_counts VALUES ('reviewer', 'token:ci', 8, 1);
CREATE TRIGGER tasks_terminal_is_final
BEFORE UPDATE ON tasks
WHEN OLD.state IN (3, 4, 5, 7)
BEGIN
    SELECT RAISE(ABORT, 'a terminal task never changes');
END;
CREATE TRIGGER push_configs_want
AFTER INSERT ON events
WHEN NEW.kind IN ('state', 'artifact')
BEGIN
    UPDATE push_configs SET wanted_seq = NEW.seq WHERE task_id = NEW.task_id;
END;
CREATE TRIGGER push_configs_go_with_their_task
AFTER DELETE ON tasks
BEGIN
    DELETE FROM push_configs WHERE task_id = OLD.id;
END;
CREATE TRIGGER tasks_go_when_ended
BEFORE DELETE ON tasks
WHEN OLD.state NOT IN (3, 4, 5, 7) OR NOT EXISTS (SELECT 1 FROM removals WHERE task_id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'only retention removes a task, and only one that has ended');
END;
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
