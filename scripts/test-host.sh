#!/usr/bin/env bash
# Tests our plugin inside a real mesh-llm host (tests/mesh-host), with a real OpenCode where npm is there.
#
#   CARGO_TARGET_DIR      where our own binaries are built; target/ without it
#   AGENTS_BIN, MODEL_BIN binaries to test instead of building them (a release build, for figures)
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
if [ -z "${AGENTS_BIN:-}" ] || [ -z "${MODEL_BIN:-}" ]; then
  cargo build --locked --quiet -p mesh-agents -p mesh-agents-testkit --bins
fi
AGENTS_BIN=$(realpath "${AGENTS_BIN:-$target/debug/agents}")
MODEL_BIN=$(realpath "${MODEL_BIN:-$target/debug/scripted-model}")
# Assigned on their own: a failure inside export's arguments would go unseen.
MESHHOST_BIN=$(scripts/mesh-host.sh)
export AGENTS_BIN MODEL_BIN MESHHOST_BIN
export LOAD_CALLS=${LOAD_CALLS:-10000}
say "ready to test after $((SECONDS - started)) s"

without=()
if [ -n "${OPENCODE_BIN:-}" ] || command -v npm >/dev/null 2>&1 || [ "${MESH_AGENTS_TEST_ALL:-}" = 1 ]; then
  OPENCODE_BIN=$(scripts/opencode.sh)
  export OPENCODE_BIN
else
  say "skipped: pr_review_with_opencode (OpenCode comes from npm, which is not on PATH)"
  without=(--skip pr_review_with_opencode)
fi

. scripts/homes.sh
# Two nodes and a review, with every part of them killed: beside the tests, since most of it is waiting for hosts to
# miss each other.
beside=
if [ ${#without[@]} -eq 0 ]; then
  scripts/e2e-private-mesh-pr-review.sh --kill all >"$homes/e2e.log" 2>&1 &
  beside=$!
fi

# One after the other: each has a host of its own, and the figures are of a machine that does little else.
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  # Not in one directory with our own: the two have many dependencies in common, with other features.
  export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mesh-host
fi

failed=0
TMPDIR=$homes cargo test --locked --no-fail-fast --manifest-path tests/mesh-host/Cargo.toml -- \
  --nocapture "${without[@]}" || failed=1
say "tests done after $((SECONDS - started)) s"
if [ -n "$beside" ]; then
  wait "$beside" || failed=1
  cat "$homes/e2e.log"
fi
[ "$failed" = 0 ]
say "done in $((SECONDS - started)) s"
