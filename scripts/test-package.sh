#!/usr/bin/env bash
# From the release archive to the first finished task, as a user would go: packs this commit, feeds the names to the
# real plugin manager's parser and selector (tests/release-names), installs the archive with the real installer, starts
# a real host that has no configuration, and types README.md's `sh host` blocks (tests/mesh-host/drive/src/bin/installed).
# Prints the commands and their seconds.
#
#   AGENTS_BIN            a built program to pack; without it target/release/agents if it is there, else a debug build
#   CARGO_TARGET_DIR      where our own programs are built; target/ without it
#   MESH_AGENTS_TEST_ALL  1: what cannot run is a failure, as in CI
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
say() { echo "test-package: $*"; }

if [ "$(uname)" != Linux ]; then
  say "skipped: the real host is driven through /proc, which $(uname) has not"
  [ "${MESH_AGENTS_TEST_ALL:-}" != 1 ]
  exit
fi

target=${CARGO_TARGET_DIR:-target}
if [ -z "${AGENTS_BIN:-}" ]; then
  # README's first command has built it when CI comes here; cargo only looks whether it is of this commit.
  if [ -x "$target/release/agents" ]; then
    cargo build --locked --quiet --release --bin agents
    AGENTS_BIN=$target/release/agents
  else
    cargo build --locked --quiet -p mesh-agents -p mesh-agents-testkit --bins
    AGENTS_BIN=$target/debug/agents
  fi
fi
AGENTS_BIN=$(realpath "$AGENTS_BIN")
# Assigned on its own: a failure inside export's arguments would go unseen.
MESHHOST_BIN=$(scripts/mesh-host.sh)
export AGENTS_BIN MESHHOST_BIN

. scripts/homes.sh

packed=$SECONDS
# Twice, with another umask: the same bytes.
ARCHIVE=$(scripts/package.sh --bin "$AGENTS_BIN" --out "$homes/first")
again=$(umask 077 && scripts/package.sh --bin "$AGENTS_BIN" --out "$homes/second" 2>/dev/null)
cmp "$ARCHIVE" "$again" || {
  say "one program was packed twice and gave different bytes"
  exit 1
}
(cd "$homes/first" && sha256sum --check --quiet ./*.sha256)
tar -tzf "$ARCHIVE" | grep -vq '^agents/' && {
  say "the archive has something outside of agents/"
  exit 1
}
export ARCHIVE
say "packed twice, to the same bytes, in $((SECONDS - packed)) s"

if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  # Not in one directory with our own, as in test-host.sh.
  export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mesh-host
fi
cargo test --locked --quiet --manifest-path tests/release-names/Cargo.toml
cargo build --locked --quiet --manifest-path tests/mesh-host/Cargo.toml -p mesh-host-drive --bin installed
TMPDIR=$homes "${CARGO_TARGET_DIR:-tests/mesh-host/target}/debug/installed"
say "done in $((SECONDS - started)) s"
