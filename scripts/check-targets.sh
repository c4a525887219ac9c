#!/usr/bin/env bash
# Checks that the product compiles for the systems this machine is not: nothing is run there.
#
#   scripts/check-targets.sh [TARGET…]   both macOS targets and Windows without one
#
# For Windows only the crates without sockets and processes of their own: the engine's local socket, the host's link
# and the guard of a run are written for Unix, so the program itself does not compile there yet.
#
# `cargo check` links nothing, so the C in some dependencies needs no compiler of the other system: one that makes
# empty files stands in for it. What it cannot tell is whether that C compiles there; release.yml does.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- x86_64-apple-darwin aarch64-apple-darwin x86_64-pc-windows-gnu
say() { echo "check-targets: $*"; }

stand_in=$(mktemp -d)
trap 'rm -rf "$stand_in"' EXIT
cat >"$stand_in/cc" <<'CC'
#!/bin/sh
# Asked what it is, it is a clang; asked for a file, it makes an empty one.
case " $* " in *" -E "*) echo "clang"; exit ;; esac
while [ $# -gt 0 ]; do
  case $1 in -o) : >"$2" ;; esac
  shift
done
CC
cat >"$stand_in/ar" <<'AR'
#!/bin/sh
for word in "$@"; do case $word in *.a) : >"$word" ;; esac; done
AR
chmod +x "$stand_in/cc" "$stand_in/ar"

for target in "$@"; do
  started=$SECONDS
  if ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    rustup target add "$target" >/dev/null 2>&1 || {
      say "skipped: the toolchain has no $target and cannot fetch it"
      [ "${MESH_AGENTS_TEST_ALL:-}" != 1 ] || exit 1
      continue
    }
  fi
  case $target in
    *-windows-*) parts=(-p mesh-agents-core -p mesh-agents-registry -p mesh-agents-mesh -p mesh-agents-tasks -p mesh-agents-a2a) ;;
    *) parts=(-p mesh-agents --bins) ;;
  esac
  name=${target//-/_}
  # The SDK is only asked for headers, which a check does not read.
  env "CC_$name=$stand_in/cc" "CXX_$name=$stand_in/cc" "AR_$name=$stand_in/ar" SDKROOT=/ MACOSX_DEPLOYMENT_TARGET=13.0 \
    cargo check --locked --quiet "${parts[@]}" --target "$target"
  say "$target: ${parts[*]} compile ($((SECONDS - started)) s)"
done
