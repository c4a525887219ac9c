#!/usr/bin/env bash
# Checks that the product compiles for the systems this machine is not: nothing is run there.
#
#   scripts/check-targets.sh [TARGET…]   both macOS targets and Windows without one
#
# The program is what is checked, for Windows too: there it works on files, and says of what needs an engine or runs
# a harness what is missing.
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
      # No failure in CI either: its machine need not reach where toolchains come from.
      say "skipped: the toolchain has no $target and cannot fetch it"
      continue
    }
  fi
  name=${target//-/_}
  # The SDK is only asked for headers, which a check does not read.
  env "CC_$name=$stand_in/cc" "CXX_$name=$stand_in/cc" "AR_$name=$stand_in/ar" SDKROOT=/ MACOSX_DEPLOYMENT_TARGET=13.0 \
    cargo check --locked --quiet -p mesh-agents --bins --target "$target" 2>"$stand_in/said" || {
    cat "$stand_in/said" >&2
    exit 1
  }
  # Clippy sees this machine's code only: a warning of another system's is a failure here.
  if grep -q '^warning' "$stand_in/said"; then
    cat "$stand_in/said" >&2
    say "$target: the program compiles with warnings"
    exit 1
  fi
  say "$target: the program compiles ($((SECONDS - started)) s)"
done
