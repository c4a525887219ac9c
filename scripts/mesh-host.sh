#!/bin/sh
# Prints the path of a mesh-llm host program for the tests of tests/mesh-host, building one if there is none.
#
#   MESH_LLM_BIN          a released mesh-llm to use instead; nothing is built then
#   MESH_HOST_TARGET_DIR  where to build; the cache's own directory without it
#   XDG_CACHE_HOME        where the cache is; ~/.cache without it
#
# stdout carries the path alone; what is done, and how long it took, is told on stderr.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
source_dir=$root/tests/mesh-host
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mesh-agents

# Below this much free disk a CI machine does not keep the 2.4 GB of the build, only the program.
keep_target_above_gb=20
# A host nobody asked for in this many days is dropped from the cache.
keep_host_days=30

say() {
  printf 'mesh-host: %s\n' "$*" >&2
}

digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -c 1-24
}

# Everything the program is made of: its sources, the versions of the rest, the compiler.
key() {
  cd "$source_dir"
  {
    find Cargo.lock Cargo.toml src -type f | LC_ALL=C sort | while IFS= read -r file; do
      printf '%s\n' "$file"
      cat "$file"
    done
    rustc -vV
  } | digest
}

if [ -n "${MESH_LLM_BIN:-}" ]; then
  if ! program=$(command -v "$MESH_LLM_BIN"); then
    say "MESH_LLM_BIN=$MESH_LLM_BIN is no program; unset it to have one built"
    exit 1
  fi
  case $program in
    /*) ;;
    *) program=$PWD/$program ;;
  esac
  say "using MESH_LLM_BIN=$program"
  printf '%s\n' "$program"
  exit 0
fi

host_dir=$cache/host-$(key)
program=$host_dir/meshhost
if [ -x "$program" ]; then
  touch "$host_dir"
  say "using the cached $program"
  printf '%s\n' "$program"
  exit 0
fi

target=${MESH_HOST_TARGET_DIR:-$cache/target}
say "building a mesh-llm host in $target: about six minutes on two cores, and 2.4 GB"
started=$(date +%s)
mkdir -p "$host_dir" "$target"
nice cargo build --locked --manifest-path "$source_dir/Cargo.toml" --package mesh-host --bin meshhost \
  --target-dir "$target" >&2

# Under its final name only when whole: another call may be looking.
part=$program.part.$$
if ! strip -o "$part" "$target/debug/meshhost" 2>/dev/null; then
  cp "$target/debug/meshhost" "$part"
fi
mv "$part" "$program"
say "built in $(($(date +%s) - started)) s: $program"

find "$cache" -maxdepth 1 -name 'host-*' -mtime "+$keep_host_days" -exec rm -rf {} +
free_gb=$(($(df -Pk "$cache" | awk 'NR == 2 { print $4 }') / 1024 / 1024))
# A directory the caller named is the caller's.
if [ "${CI:-}" = true ] && [ -z "${MESH_HOST_TARGET_DIR:-}" ] && [ "$free_gb" -lt "$keep_target_above_gb" ]; then
  say "$free_gb GB free: removing $target"
  rm -rf "$target"
fi
printf '%s\n' "$program"
