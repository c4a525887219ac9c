"""Reads a copy of the task database and prints what the fault harness compares, as JSON.

Nothing of ours is in here: Python's own sqlite3 opens the file as any other program would.
"""

import json
import sqlite3
import sys

db = sqlite3.connect(sys.argv[1])
db.row_factory = sqlite3.Row
integrity = [row[0] for row in db.execute("PRAGMA integrity_check")]
states = {1: "submitted", 2: "working", 3: "completed", 4: "failed", 5: "canceled",
          6: "input_required", 7: "rejected", 8: "auth_required"}
terminal = {"completed", "failed", "canceled", "rejected"}
tasks = []
for row in db.execute("SELECT id, state, last_seq FROM tasks"):
    events = db.execute(
        "SELECT seq, kind, body FROM events WHERE task_id = ? AND kind IN ('message', 'state') ORDER BY seq",
        (row["id"],)).fetchall()
    last = db.execute("SELECT max(seq), count(*) FROM events WHERE task_id = ?", (row["id"],)).fetchone()
    log = [json.loads(event["body"])["state"]["state"] for event in events if event["kind"] == "state"]
    first = next(event["body"] for event in events if event["kind"] == "message")
    tasks.append({
        "id": row["id"],
        "state": states[row["state"]],
        "logged": log[-1] if log else "submitted",
        "ends": sum(state in terminal for state in log),
        "message": first,
        "whole": last[0] == last[1] == row["last_seq"],
    })
print(json.dumps({"integrity": integrity, "tasks": tasks}))
