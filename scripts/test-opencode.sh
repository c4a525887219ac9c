#!/usr/bin/env bash
# Tests with real OpenCode as the harness and a scripted model: crates/mesh-agents-cli/tests/opencode.
# OpenCode comes from npm into the user's cache the first time (scripts/opencode.sh); OPENCODE_BIN
# names another one.
set -euo pipefail
cd "$(dirname "$0")/.."

OPENCODE_BIN=$(scripts/opencode.sh)
export OPENCODE_BIN
cargo test --locked -p mesh-agents --test opencode -- --nocapture "$@"
