#!/usr/bin/env bash
# Runs the tests. Stages that need npm or the real mesh-llm host say so when they are skipped;
# `.ci/run` sets MESH_AGENTS_TEST_ALL=1, with which a stage that cannot run is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo nextest --version >/dev/null 2>&1; then
  # Most tests wait for processes and disks more than they work.
  cargo nextest run --workspace --locked --test-threads $(($(getconf _NPROCESSORS_ONLN) * 2))
else
  cargo test --workspace --locked
fi
echo "--- tests of the workspace: $SECONDS s"

stage() { # name, script with its arguments, what it needs
  local at=$SECONDS
  if [ "${MESH_AGENTS_TEST_ALL:-}" = 1 ]; then
    # The words are a script and its arguments.
    # shellcheck disable=SC2086
    $2
    echo "--- $1: $((SECONDS - at)) s"
  else
    echo "skipped: $1 (needs $3); run $2"
  fi
}
stage "real mesh-llm host" scripts/test-host.sh "a six-minute build of mesh-llm from its published crates"
stage "release archive" scripts/test-package.sh "the same host"
stage "60 kills at seeded points" "scripts/test-faults.sh 60 --worlds 2" "the same host"
stage "real OpenCode" scripts/test-opencode.sh "npm"
stage "independent MCP clients" scripts/test-mcp-clients.sh "pip and npm"
stage "independent A2A clients" scripts/test-a2a-clients.sh "pip and npm"
stage "card signature" scripts/test-card-signature.sh "the same clients"
