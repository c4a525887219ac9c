#!/usr/bin/env bash
# Runs README.md's own commands: every line of a ```sh block whose fence says `sh test`.
# They run in one shell each block, in the checkout, with HOME in a temporary directory.
#
# No other block goes untried: `sh host` and `toml host` are run by scripts/test-package.sh with a real host,
# `sh reference` is read by tests/release-names, `json opencode` by tests/mesh-host (skill), `toml runtime` here, and
# `text` is for people. A fence with another word fails.
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

if grep -n '^```.' README.md | grep -vE ':```(sh test|sh host|sh reference|toml host|toml runtime|json opencode|text)$'; then
  echo "README.md has a block that nothing tries, see above; say in its fence what tries it"
  exit 1
fi

# A piece of an agent's runtime.toml belongs after what every agent has.
runtime() {
  local agent=$home/pieces/piece
  mkdir -p "$agent"
  cp examples/test-runner/agent-card.json examples/test-runner/instructions.md "$agent/"
  printf '[runtime]\ntype = "command"\ncommand = "true"\n\n%s' "$1" >"$agent/runtime.toml"
  HOME=$home agents --agents-dir "$home/pieces" validate piece
}

ran=0
block=
inside=false
while IFS= read -r line; do
  case $line in
    '```sh test') inside=true kind=sh block= ;;
    '```toml runtime') inside=true kind=runtime block= ;;
    '```')
      if $inside; then
        inside=false
        echo "README: $block"
        at=$SECONDS
        case $kind in
          sh) HOME=$home bash -euo pipefail -c "$block" ;;
          runtime) runtime "$block" ;;
        esac
        echo "README: $((SECONDS - at)) s"
        ran=$((ran + 1))
      fi
      ;;
    *) if $inside; then block+=$line$'\n'; fi ;;
  esac
done < README.md
[ "$ran" -gt 0 ] || { echo "README.md has no commands to run"; exit 1; }
echo "README: $ran blocks ran"
