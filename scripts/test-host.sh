#!/usr/bin/env bash
# Tests our plugin inside a real mesh-llm host (tests/mesh-host), with a real OpenCode where npm is there.
#
#   CARGO_TARGET_DIR      where our own binaries are built; target/ without it
#   AGENTS_BIN, MODEL_BIN, ACP_BIN  binaries to test instead of building them; without AGENTS_BIN target/release/agents
#                         if it is there, else a debug build
#   LOAD_CALLS            calls of the load test; 10000 without it
#   MESH_AGENTS_TEST_ALL  1: what cannot run is a failure, as in CI
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
say() { echo "test-host: $*"; }

if [ "$(uname)" != Linux ]; then
  say "skipped: the real host is driven through /proc, which $(uname) has not"
  [ "${MESH_AGENTS_TEST_ALL:-}" != 1 ]
  exit
fi

target=${CARGO_TARGET_DIR:-target}
# README's first command has built what a user runs when CI comes here; cargo only looks whether it is of this commit.
if [ -z "${AGENTS_BIN:-}" ] && [ -x "$target/release/agents" ]; then
  cargo build --locked --quiet --release --bin agents
  AGENTS_BIN=$target/release/agents
fi
if [ -z "${AGENTS_BIN:-}" ] || [ -z "${MODEL_BIN:-}" ] || [ -z "${ACP_BIN:-}" ]; then
  cargo build --locked --quiet -p mesh-agents -p mesh-agents-testkit --bins
fi
AGENTS_BIN=$(realpath "${AGENTS_BIN:-$target/debug/agents}")
MODEL_BIN=$(realpath "${MODEL_BIN:-$target/debug/scripted-model}")
ACP_BIN=$(realpath "${ACP_BIN:-$target/debug/scripted-acp-agent}")
# Assigned on their own: a failure inside export's arguments would go unseen.
MESHHOST_BIN=$(scripts/mesh-host.sh)
export AGENTS_BIN MODEL_BIN ACP_BIN MESHHOST_BIN
export LOAD_CALLS=${LOAD_CALLS:-10000}
say "ready to test after $((SECONDS - started)) s"

without=()
if [ -n "${OPENCODE_BIN:-}" ] || command -v npm >/dev/null 2>&1 || [ "${MESH_AGENTS_TEST_ALL:-}" = 1 ]; then
  OPENCODE_BIN=$(scripts/opencode.sh)
  export OPENCODE_BIN
else
  say "skipped: what ends in _with_opencode (OpenCode comes from npm, which is not on PATH)"
  without=(--skip _with_opencode)
fi

# Not in one directory with our own: the two have many dependencies in common, with other features.
drive=(--locked --manifest-path tests/mesh-host/Cargo.toml)
drive+=(--target-dir "${CARGO_TARGET_DIR:-tests/mesh-host/target}${CARGO_TARGET_DIR:+/mesh-host}")
cargo test "${drive[@]}" --quiet --no-run

. scripts/homes.sh
# Beside the tests goes on what mostly waits for hosts to miss each other: nodes that lose each other for a minute, and
# a review across two nodes with every part of them killed.
beside() { # name, command…
  local name=$1 at=$SECONDS outcome=ok
  shift
  "$@" >"$homes/$name.log" 2>&1 || outcome=FAILED
  echo "$name: $outcome after $((SECONDS - at)) s" >>"$homes/$name.log"
  [ "$outcome" = ok ]
}
waits=()
TMPDIR=$homes beside away cargo test "${drive[@]}" --quiet --test mesh_away -- --nocapture &
waits+=($!)
if [ ${#without[@]} -eq 0 ]; then
  beside e2e scripts/e2e-private-mesh-pr-review.sh --kill all &
  waits+=($!)
fi

failed=0
# One after the other: each has a host of its own.
TMPDIR=$homes cargo test "${drive[@]}" --no-fail-fast -- --nocapture --skip away_ "${without[@]}" || failed=1
say "tests done after $((SECONDS - started)) s"
for pid in "${waits[@]}"; do
  wait "$pid" || failed=1
done
cat "$homes"/*.log
[ "$failed" = 0 ]
say "done in $((SECONDS - started)) s"
