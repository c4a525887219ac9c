#!/bin/sh
# Runs the tests of the project that the message names on a line of its own.
set -u

project=
while IFS= read -r line || [ -n "$line" ]; do
  if [ -d "$line" ]; then project=$line; break; fi
done < "$TASK_PROMPT_PATH"

if [ -z "$project" ]; then
  echo "No line of the message is a directory of this machine. Send the path of a project." >&2
  exit 2
fi
if [ ! -f "$project/run-tests.sh" ]; then
  echo "$project has no run-tests.sh. Write one that runs the project's tests." >&2
  exit 2
fi

# The tests run on a copy, so that they leave nothing behind in the project.
cp -R "$project/." . && exec sh ./run-tests.sh
