-- What the removal of old tasks needs (DESIGN §4, limits).

-- Tasks whose row is gone and whose rest is still to be removed: what a kill interrupts goes on later.
CREATE TABLE removals (
    task_id  TEXT NOT NULL PRIMARY KEY,
    agent_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A task goes only by being listed there, and only when it has ended, whoever deletes.
CREATE TRIGGER tasks_go_when_ended
BEFORE DELETE ON tasks
WHEN OLD.state NOT IN (3, 4, 5, 7) OR NOT EXISTS (SELECT 1 FROM removals WHERE task_id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'only retention removes a task, and only one that has ended');
END;

-- Whether any task still has a content, and how much all of them take.
CREATE INDEX artifacts_by_digest ON artifacts (sha256, bytes);
-- Keys outlive their tasks and go by age.
CREATE INDEX submits_by_age ON submits (created_ms);
