-- What it takes to go on after a kill: the session of an attempt, and the rules of the definition it
-- was started with, of which the row of the agent's files is a digest only.

ALTER TABLE tasks ADD COLUMN again TEXT;          -- what the next attempt is to be, while no run is there

ALTER TABLE attempts ADD COLUMN session_id TEXT;  -- the harness's id of its session
ALTER TABLE attempts ADD COLUMN resumable INTEGER NOT NULL DEFAULT 0;    -- whether that can be taken up
ALTER TABLE attempts ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;      -- whether it went on in an earlier one's
ALTER TABLE attempts ADD COLUMN base_seq INTEGER NOT NULL DEFAULT 0;     -- event where the work it goes on with began
ALTER TABLE attempts ADD COLUMN deadline_ms INTEGER;                     -- end of policy.max_task_seconds
ALTER TABLE attempts ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 1; -- runtime.max_attempts
ALTER TABLE attempts ADD COLUMN retry INTEGER NOT NULL DEFAULT 0;        -- runtime.on_interrupt = "retry"
