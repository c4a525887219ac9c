#!/usr/bin/env bash
# Two mesh-llm nodes on this machine with a private mesh between them, and nothing shared: an agent of A reviews a
# repository for an MCP client of B. Prints every step with its seconds.
#
#   scripts/e2e-private-mesh-pr-review.sh                two nodes, one review
#   scripts/e2e-private-mesh-pr-review.sh --kill WHAT    the review once more, and WHAT is killed -9 in the middle of
#       it: owners-plugin, owners-host, owners-engine, callers-plugin, callers-host, callers-engine, or all.
#       May be repeated.
#
# What happens: both nodes start on free loopback ports, each in a home of its own, and B joins by A's invite token.
# A offers the example agent pr-review to its mesh. B's client finds it by agents.get_agents at B's own /mcp and
# calls it, and is refused: nobody let B in. A's owner sees the knock in `mesh-llm agents peers list` and runs
# `mesh-llm agents peers allow KEY pr-review`. B's client calls again; a real OpenCode does the review on A, with a
# script in its model's place; summary.md and findings.json are read through B's /mcp and must hold what only a look
# into A's repository can tell. Everything runs on loopback and is gone at the end.
#
# Exit code: 0 all of it happened, 1 it did not (the reason, then the ends of the logs, on stderr), 2 usage.
#
#   MESH_LLM_BIN          a released mesh-llm with `client --port --console --name --join --log-format json`; without
#                         it tests/mesh-host is built: a real host from mesh-llm's published crates, six minutes once
#   OPENCODE_BIN          an opencode to use instead of having it installed by npm into the cache
#   AGENTS_BIN, MODEL_BIN binaries of this repository to use instead of building them
#   CARGO_TARGET_DIR      where they are built; target/ without it
#   MESH_AGENTS_TEST_ALL  1: what cannot run is a failure, as in CI
set -euo pipefail
case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit
    ;;
esac
cd "$(dirname "$0")/.."

started=$SECONDS
say() { echo "e2e: $*"; }

if [ "$(uname)" != Linux ]; then
  say "skipped: processes are watched through /proc, which $(uname) has not"
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
OPENCODE_BIN=$(scripts/opencode.sh)
export AGENTS_BIN MODEL_BIN MESHHOST_BIN OPENCODE_BIN

if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  # Not in one directory with our own: the two have many dependencies in common, with other features.
  export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mesh-host
fi
cargo build --locked --quiet --manifest-path tests/mesh-host/Cargo.toml -p mesh-host-drive --bin e2e
driver=$(realpath "${CARGO_TARGET_DIR:-tests/mesh-host/target}/debug/e2e")
say "ready after $((SECONDS - started)) s"

. scripts/homes.sh
TMPDIR=$homes "$driver" "$@"
