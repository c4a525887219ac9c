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
  # The copy builds into the same target directory: what the crates depend on is there already.
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
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

if [ -n "$broken" ]; then
  # Each seed alone, so that the first that sees it is known; as many at once as there are processors.
  python3 - "$breaks" "$binary" "$from" "$to" <<'PY'
import concurrent.futures, os, pathlib, subprocess, sys, tomllib
breaks, binary, first, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
listed = tomllib.loads(pathlib.Path(breaks).read_text())["break"]

def sees(n, seed):
    play = f"nothing_is_lost_doubled_or_allowed_to_the_wrong_part_{seed % 4 + 1}"
    env = os.environ | {"MESH_SIMULATION_BREAK": str(n), "MESH_SIMULATION_SEEDS": f"{seed}..{seed + 1}"}
    played = subprocess.run([binary, "--exact", play], env=env, capture_output=True, text=True)
    said = [line for line in played.stdout.splitlines() if line and "panicked" not in line and "----" not in line]
    why = next((line for line in said if not line.startswith(("running", "test ", "note", "failures"))), "")
    return played.returncode != 0, why

missed = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for n, one in enumerate(listed, 1):
        at, step = first, 2 * (os.cpu_count() or 1)
        found = None
        while found is None and at < end:
            batch = range(at, min(at + step, end))
            for seed, (seen, why) in zip(batch, pool.map(lambda seed: sees(n, seed), batch)):
                if seen and found is None:
                    found = (seed, why)
            at += step
        missed += found is None
        print(f"{n:2} {one['what']}: " + (f"seed {found[0]}: {found[1]}" if found else "NOT SEEN"), flush=True)
sys.exit(missed != 0)
PY
  exit
fi

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
