#!/usr/bin/env bash
# Plays the deterministic simulation of a mesh (crates/mesh-agents-mesh/tests/it/simulation.rs): nodes that
# publish, hint and pull, over a net that loses, doubles, delays and reorders, with partitions, restarts,
# jumping clocks and a liar. `simulate-mesh.sh [FROM..TO]` plays these seeds (default 0..100000), spread over
# the processors; a failing seed is printed with the command that plays it again. Optimised, unless
# MESH_SIMULATION_PROFILE=dev takes the build of scripts/test.sh, which is slower.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-0..100000}
case "$seeds" in
  *[!0-9.]* | *.*.*.* | .* | *.) echo "usage: $0 [FROM..TO]" >&2; exit 2 ;;
  *..*) ;;
  *) echo "usage: $0 [FROM..TO]" >&2; exit 2 ;;
esac
from=${seeds%%..*} to=${seeds##*..}

case "${MESH_SIMULATION_PROFILE:-release}" in
  release) build=(--release --package mesh-agents-mesh) ;;
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  dev) build=(--workspace) ;;
  *) echo "$0: MESH_SIMULATION_PROFILE is release or dev" >&2; exit 2 ;;
esac
binary=$(${CARGO:-cargo} test --locked "${build[@]}" --test it --no-run --message-format=json 2>/dev/null |
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and "mesh-agents-mesh" in message.get("package_id", ""):
        print(message["executable"])')
[ -n "$binary" ] || { echo "$0: the tests do not compile; run cargo test --workspace" >&2; exit 1; }

jobs=$(nproc)
started=$(date +%s)
pids=()
for ((job = 0; job < jobs; job++)); do
  a=$((from + (to - from) * job / jobs)) b=$((from + (to - from) * (job + 1) / jobs))
  [ "$a" -lt "$b" ] || continue
  MESH_SIMULATION_SEEDS=$a..$b "$binary" --exact simulation::whatever_happens_everybody_knows_the_truth_in_the_end_and_never_anything_else --nocapture &
  pids+=($!)
done
bad=0
for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
echo "$((to - from)) seeds in $(($(date +%s) - started)) s, $([ "$bad" = 0 ] && echo "none failed" || echo "FAILED")"
exit "$bad"
