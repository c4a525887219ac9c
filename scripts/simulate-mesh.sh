#!/usr/bin/env bash
# Plays the deterministic simulation of a mesh (crates/mesh-agents-plugin/tests/simulation/main.rs): nodes that
# publish, pull, let each other in, send tasks, follow and cancel them, over a net that loses, doubles, delays
# and parts, with kills, jumping clocks, lists that change, a liar and a thief. `simulate-mesh.sh [FROM..TO]`
# plays these seeds (default 0..100000), spread over the processors; a failing seed is printed with the
# command that plays it again. Optimised, unless MESH_SIMULATION_PROFILE=dev takes the build of
# scripts/test.sh, which is slower.
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
  release) build=(--release --package mesh-agents-plugin) ;;
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  dev) build=(--workspace) ;;
  *) echo "$0: MESH_SIMULATION_PROFILE is release or dev" >&2; exit 2 ;;
esac
binary=$(${CARGO:-cargo} test --locked "${build[@]}" --test simulation --no-run --message-format=json 2>/dev/null |
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and "mesh-agents-plugin" in message.get("package_id", ""):
        print(message["executable"])')
[ -n "$binary" ] || { echo "$0: the tests do not compile; run cargo test --workspace" >&2; exit 1; }

started=$(date +%s)
pids=()
# Four tests, each with a quarter of the seeds.
for part in 1 2 3 4; do
  MESH_SIMULATION_SEEDS=$from..$to "$binary" --exact "nothing_is_lost_doubled_or_allowed_to_the_wrong_part_$part" --nocapture &
  pids+=($!)
done
bad=0
for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
echo "$((to - from)) seeds in $(($(date +%s) - started)) s, $([ "$bad" = 0 ] && echo "none failed" || echo "FAILED")"
exit "$bad"
