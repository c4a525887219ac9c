#!/usr/bin/env bash
# Measures what DESIGN §8 budgets, built as it is shipped, each figure beside a baseline of the same minute, and prints one table.
# Nothing fails for being slow: read the last column, on a machine that does nothing else.
#
#   scripts/bench.sh                     all of it: about ten minutes after the build, 2.5 GiB of disk
#   scripts/bench.sh node [start|…]      one bench (engine, cards, runs, node, server), or a part of it
#   scripts/bench.sh mesh                two real mesh-llm nodes, beside a bare echo over a mesh stream between the same
#                                        hosts: three minutes after the builds (the host: six minutes once, unoptimised)
#   BENCH_PROFILE=release scripts/bench.sh runs           built as `cargo run --release` does: sooner, and not what is shipped
#   STORES="1000 100000" scripts/bench.sh server read      other numbers of stored tasks than up to a million
set -euo pipefail
load=$(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)
cd "$(dirname "$0")/.."
profile=${BENCH_PROFILE:-dist}

crate_of() {
  case "$1" in
    engine) echo mesh-agents-tasks ;;
    cards) echo mesh-agents-plugin ;;
    runs) echo mesh-agents-acp-bridge ;;
    node) echo mesh-agents ;;
    server) echo mesh-agents-a2a ;;
    mesh) echo mesh-agents-plugin ;;
    *) echo "bench.sh: no bench \"$1\"; there are engine, cards, runs, node, server and mesh" >&2; exit 2 ;;
  esac
}
if [ $# -gt 0 ]; then crate_of "$1" >/dev/null; fi

# As it is shipped: what is measured below has what only tests need besides.
cargo build --profile "$profile" --locked --bin agents
mkdir -p "${CARGO_TARGET_DIR:-target}/tmp"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
size=$(wc -c <"$target/$profile/agents")

packages=(-p mesh-agents -p mesh-agents-a2a -p mesh-agents-acp-bridge -p mesh-agents-plugin -p mesh-agents-tasks -p mesh-agents-testkit)
benches=(--bench engine --bench cards --bench runs --bench node --bench server)
if [ "${1:-}" != mesh ]; then
  cargo build --profile "$profile" --locked --bins "${benches[@]}" "${packages[@]}"
fi

rows=$(mktemp)
stores=$(mktemp -d "$target/tmp/stores.XXXXXX")
trap 'rm -rf "$rows" "$stores"' EXIT
bench() { # bench, words for it
  local bench=$1
  shift
  cargo bench --profile "$profile" --locked --quiet "${packages[@]}" --bench "$bench" -- "$@"
}
# What the bench `server` is measured beside and over: the stock server, and stores with many tasks.
server() {
  CARGO_TARGET_DIR="$target/stock" cargo build --release --locked --manifest-path tests/stock-a2a-server/Cargo.toml
  if [ $# -eq 0 ] || [[ " $* " == *" read "* ]]; then
    for tasks in ${STORES:-1000 100000 1000000}; do
      mkdir "$stores/$tasks"
      bench engine --fill="$stores/$tasks" --tasks="$tasks"
    done
  fi
  bench server --stock="$target/stock/release/stock-a2a-server" --stores="$stores" "$@"
}
# Two nodes are two hosts: started, measured and ended by a program of the drive tests.
mesh() {
  cargo build --profile "$profile" --locked -p mesh-agents-plugin --example mesh-echo
  cargo build --release --locked --manifest-path tests/mesh-host/Cargo.toml --target-dir "$target/mesh-host" \
    -p mesh-host-drive --bin figures
  AGENTS_BIN=$target/$profile/agents
  ECHO_BIN=$target/$profile/examples/mesh-echo
  MESHHOST_BIN=$(scripts/mesh-host.sh)
  export AGENTS_BIN ECHO_BIN MESHHOST_BIN
  (
    . scripts/homes.sh
    TMPDIR=$homes "$target/mesh-host/release/figures" "$@"
  )
}
measure() { # bench, words for it
  echo "bench.sh: $1" >&2
  if [ "$1" = server ] || [ "$1" = mesh ]; then "$@"; else bench "$@"; fi | tee -a "$rows" >&2
}
if [ $# -gt 0 ]; then
  measure "$@"
else
  for bench in engine cards runs node server; do measure "$bench"; done
fi

echo "| What | Figure | Baseline | Ratio | Budget | |"
echo "|---|---|---|---|---|---|"
grep '^|' "$rows"
awk -v size="$size" 'BEGIN { printf "| size of the binary agents | %.1f MiB | | | | |\n", size / 1048576 }'
echo
echo "$(date -u +%Y-%m-%d), profile $profile, $(nproc) cores, $(uname -sr), $(rustc --version), load before $load"
