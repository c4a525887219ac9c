#!/usr/bin/env bash
# Runs README.md's own commands: every line of a ```sh block whose fence says `sh test`.
# They run in one shell each block, in the checkout, with HOME in a temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$(mktemp -d)
real_home=$HOME
cleanup() {
  HOME=$home "${CARGO_TARGET_DIR:-target}/release/agents" stop --now >/dev/null 2>&1 || true
  rm -rf "$home"
}
trap cleanup EXIT
# The toolchain and the package caches stay where they are; everything of ours goes to the temporary home.
export CARGO_HOME=${CARGO_HOME:-$real_home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$real_home/.rustup}
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$real_home/.cache} npm_config_cache=${npm_config_cache:-$real_home/.npm}
export PATH="${CARGO_TARGET_DIR:-$PWD/target}/release:$PATH"

ran=0
block=
inside=false
while IFS= read -r line; do
  case $line in
    '```sh test') inside=true; block= ;;
    '```')
      if $inside; then
        inside=false
        echo "README: $block"
        HOME=$home bash -euo pipefail -c "$block"
        ran=$((ran + 1))
      fi
      ;;
    *) if $inside; then block+=$line$'\n'; fi ;;
  esac
done < README.md
[ "$ran" -gt 0 ] || { echo "README.md has no commands to run"; exit 1; }
echo "README: $ran blocks ran"
