# Sourced by scripts that need a program of others: keeps what was installed in the user's cache.
# shellcheck shell=bash

# `cached NAME BUILDER` sets `cached_dir` to the directory NAME of the cache; the first time the
# function BUILDER fills it, called with the directory to fill. It fills one beside the final one,
# which is renamed at the end: a broken or interrupted install is never used, and of two at once
# the second finds the name taken and is thrown away. Needs node, for its rename(2).
cached() {
  local name=$1 builder=$2 cache staging started
  cache="${XDG_CACHE_HOME:-$HOME/.cache}/mesh-agents"
  cached_dir="$cache/$name"
  [ -d "$cached_dir" ] && return
  mkdir -p "$cache"
  staging=$(mktemp -d "$cache/$name.XXXXXX")
  started=$(date +%s)
  say "installing into $cached_dir"
  if ! ("$builder" "$staging") >&2; then
    rm -rf "$staging"
    fail "$name could not be installed; the installer's own message is above"
  fi
  chmod 755 "$staging"
  if node -e 'require("fs").renameSync(process.argv[1], process.argv[2])' "$staging" "$cached_dir" 2>/dev/null; then
    say "installed in $(($(date +%s) - started)) s"
  else
    rm -rf "$staging"
    [ -d "$cached_dir" ] || fail "could not create $cached_dir; check that $cache is writable"
    say "another install finished first; using it"
  fi
}

say() { echo "$(basename "$0"): $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# `need TOOL WHY` ends the script where TOOL is not on PATH.
need() {
  command -v "$1" >/dev/null 2>&1 || fail "$1 is not on PATH, and $2"
}
