-- Questions that wait for an answer: a reading of the events `question` and `question_gone`.

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
