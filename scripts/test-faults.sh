#!/usr/bin/env bash
# Kills -9 at seeded points over host, plugin, engine, guard and harness, on a real mesh-llm host, and checks
# that nothing acknowledged is lost, nothing runs twice, nothing is stuck past 15 s and nothing is called ended
# that still runs (tests/mesh-host/drive/src/bin/faults).
#
#   scripts/test-faults.sh [POINTS] [--seed N] [--worlds N]   POINTS is 1000 without it
#   scripts/test-faults.sh --seed N --only I [--repeat N]     one point again, N times
#
# A point is made by its seed and number alone. Repeating one repeats the messages, the victim and the delays,
# not the interleaving of processes: that is the machine's.
#
#   CARGO_TARGET_DIR      where our own binaries are built; target/ without it
#   AGENTS_BIN, ACP_BIN   binaries to test instead of building them
#   MESH_AGENTS_TEST_ALL  1: what cannot run is a failure, as in CI
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
say() { echo "test-faults: $*"; }

if [ "$(uname)" != Linux ]; then
  say "skipped: processes are watched through /proc, which $(uname) has not"
  [ "${MESH_AGENTS_TEST_ALL:-}" != 1 ]
  exit
fi

target=${CARGO_TARGET_DIR:-target}
if [ -z "${AGENTS_BIN:-}" ] || [ -z "${ACP_BIN:-}" ]; then
  cargo build --locked --quiet -p mesh-agents -p mesh-agents-testkit --bins
fi
AGENTS_BIN=$(realpath "${AGENTS_BIN:-$target/debug/agents}")
ACP_BIN=$(realpath "${ACP_BIN:-$target/debug/scripted-acp-agent}")
# Assigned on their own: a failure inside export's arguments would go unseen.
MESHHOST_BIN=$(scripts/mesh-host.sh)
export AGENTS_BIN ACP_BIN MESHHOST_BIN

if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  # Not in one directory with our own: the two have many dependencies in common, with other features.
  export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mesh-host
fi
cargo build --locked --quiet --manifest-path tests/mesh-host/Cargo.toml -p mesh-host-drive --bin faults
driver=${CARGO_TARGET_DIR:-tests/mesh-host/target}/debug/faults
say "ready after $((SECONDS - started)) s"

. scripts/homes.sh
TMPDIR=$homes "$driver" "$@"
say "done in $((SECONDS - started)) s"
