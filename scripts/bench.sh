#!/usr/bin/env bash
# Measures what DESIGN §8 budgets, in release, each figure beside a baseline of the same minute, and prints one table.
# Nothing fails for being slow: read the last column, on a machine that does nothing else.
#
#   scripts/bench.sh                     all of it: about five minutes after the build
#   scripts/bench.sh node [start|…]      one bench (engine, cards, runs, node), or a part of it
set -euo pipefail
load=$(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)
cd "$(dirname "$0")/.."

crate_of() {
  case "$1" in
    engine) echo mesh-agents-tasks ;;
    cards) echo mesh-agents-plugin ;;
    runs) echo mesh-agents-acp-bridge ;;
    node) echo mesh-agents ;;
    *) echo "bench.sh: no bench \"$1\"; there are engine, cards, runs and node" >&2; exit 2 ;;
  esac
}
if [ $# -gt 0 ]; then crate_of "$1" >/dev/null; fi

# As a user builds it: what is measured below has what only tests need besides.
cargo build --release --locked --bin agents
size=$(wc -c <"${CARGO_TARGET_DIR:-target}/release/agents")

packages=(-p mesh-agents -p mesh-agents-acp-bridge -p mesh-agents-plugin -p mesh-agents-tasks -p mesh-agents-testkit)
benches=(--bench engine --bench cards --bench runs --bench node)
cargo build --release --locked --bins "${benches[@]}" "${packages[@]}"

rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
measure() { # bench, words for it
  local bench=$1
  shift
  echo "bench.sh: $bench" >&2
  cargo bench --locked --quiet "${packages[@]}" --bench "$bench" -- "$@" | tee -a "$rows" >&2
}
if [ $# -gt 0 ]; then
  measure "$@"
else
  for bench in engine cards runs node; do measure "$bench"; done
fi

echo "| What | Figure | Baseline | Ratio | Budget | |"
echo "|---|---|---|---|---|---|"
grep '^|' "$rows"
awk -v size="$size" 'BEGIN { printf "| size of the binary agents | %.1f MiB | | | | |\n", size / 1048576 }'
echo
echo "$(date -u +%Y-%m-%d), $(nproc) cores, $(uname -sr), $(rustc --version), load before $load"
