#!/usr/bin/env bash
# Plays the deterministic simulation of a mesh (crates/mesh-agents-plugin/tests/simulation/main.rs): nodes that
# publish, pull, let each other in, send tasks, follow and cancel them, over a net that loses, doubles, delays
# and parts, with kills, jumping clocks, lists that change, a liar and a thief. `simulate-mesh.sh [FROM..TO]`
# plays these seeds (default 0..100000), spread over the processors; a failing seed is printed with the
# command that plays it again. `simulate-mesh.sh --break [FROM..TO]` breaks the code in every way of breaks.toml
# beside main.rs, in a copy, and plays each until a seed sees it (default 0..1000); it fails if one is not seen.
# Optimised, unless MESH_SIMULATION_PROFILE=dev takes the build of scripts/test.sh, which is slower.
set -euo pipefail
cd "$(dirname "$0")/.."

broken=
[ "${1:-}" != --break ] || { broken=1; shift; }
seeds=${1:-0..$([ -n "$broken" ] && echo 1000 || echo 100000)}
case "$seeds" in
  *[!0-9.]* | *.*.*.* | .* | *.) echo "usage: $0 [--break] [FROM..TO]" >&2; exit 2 ;;
  *..*) ;;
  *) echo "usage: $0 [--break] [FROM..TO]" >&2; exit 2 ;;
esac
from=${seeds%%..*} to=${seeds##*..}

case "${MESH_SIMULATION_PROFILE:-release}" in
  release) build=(--release --package mesh-agents-plugin) ;;
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  dev) build=(--workspace) ;;
  *) echo "$0: MESH_SIMULATION_PROFILE is release or dev" >&2; exit 2 ;;
esac

breaks=crates/mesh-agents-plugin/tests/simulation/breaks.toml
if [ -n "$broken" ]; then
  # Cargo takes the crates of the copy for ours, so they must not share a target directory.
  export CARGO_TARGET_DIR=${MESH_SIMULATION_BREAK_TARGET:-$PWD/target/breaks}
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' EXIT
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
  python3 - "$breaks" "$copy" <<'PY'
import pathlib, sys, tomllib
breaks, copy = sys.argv[1:]
for n, one in enumerate(tomllib.loads(pathlib.Path(breaks).read_text())["break"], 1):
    file = pathlib.Path(copy, one["file"])
    text = file.read_text()
    if text.count(one["old"]) != 1:
        sys.exit(f'{breaks}: break {n} ({one["what"]}): `old` stands {text.count(one["old"])} times in {one["file"]}')
    is_on = f'std::env::var("MESH_SIMULATION_BREAK").is_ok_and(|on| on == "{n}")'
    file.write_text(text.replace(one["old"], one["new"].replace("BROKEN", is_on)))
PY
  cd "$copy"
fi

binary=$(${CARGO:-cargo} test --locked "${build[@]}" --test simulation --no-run --message-format=json 2>/dev/null |
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and "mesh-agents-plugin" in message.get("package_id", ""):
        print(message["executable"])')
[ -n "$binary" ] || { echo "$0: the tests do not compile; run cargo test --workspace" >&2; exit 1; }

# Four tests, each with a quarter of the seeds; each ends with the first that fails. `$1`: a file for each, if not
# the terminal.
play() {
  for part in 1 2 3 4; do
    (
      [ -z "${1:-}" ] || exec >"$1.$part" 2>&1
      MESH_SIMULATION_SEEDS=$from..$to exec "$binary" --nocapture \
        --exact "nothing_is_lost_doubled_or_allowed_to_the_wrong_part_$part"
    ) &
    pids[part]=$!
  done
  bad=0
  for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
}

if [ -n "$broken" ]; then
  cp "$binary" "$copy/simulation"
  binary=$copy/simulation
  missed=0
  python3 -c 'import sys, tomllib
for n, one in enumerate(tomllib.load(sys.stdin.buffer)["break"], 1): print(n, one["what"])' <"$breaks" >"$copy/list"
  while read -r n what; do
    export MESH_SIMULATION_BREAK=$n
    play "$copy/said"
    # `seed N failed` and why, of the first of them.
    first=$(sed -n 's/^seed \([0-9]*\) failed.*/\1/p' "$copy"/said.? | sort -n | head -1)
    why=$([ -z "$first" ] || grep -h -B1 -A1 "panicked at" "$(grep -l "^seed $first failed" "$copy"/said.?)" | sed -n '/panicked at/{n;p;q}')
    if [ -n "$first" ]; then echo "$n $what: seed $first: $why"; else echo "$n $what: NOT SEEN"; fi
    [ -n "$first" ] || missed=1
  done <"$copy/list"
  exit "$missed"
fi

started=$(date +%s)
play
echo "$((to - from)) seeds in $(($(date +%s) - started)) s, $([ "$bad" = 0 ] && echo "none failed" || echo "FAILED")"
exit "$bad"
