#!/usr/bin/env bash
# Tests with real OpenCode as the harness and a scripted model: crates/mesh-agents-cli/tests/harnesses.
# OpenCode comes from npm into the user's cache the first time (scripts/opencode.sh); OPENCODE_BIN
# names another one.
set -euo pipefail
cd "$(dirname "$0")/.."

OPENCODE_BIN=$(scripts/opencode.sh)
export OPENCODE_BIN
started=$SECONDS
# --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
cargo test --locked --workspace --test harnesses -- --nocapture "opencode::${1:-}"
echo "real OpenCode: $((SECONDS - started)) s"
