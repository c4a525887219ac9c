#!/usr/bin/env bash
# Builds the release archive that `mesh-llm plugins install` takes: agents-<target triple>.tar.gz (.zip for
# Windows), everything in it under agents/, and its SHA-256 beside it. The same commit gives the same bytes.
#
#   scripts/package.sh [--out DIR]       builds for this machine; into dist/ without --out
#   scripts/package.sh --target TRIPLE   builds for another target that the toolchain has
#   scripts/package.sh --bin FILE        packs a program that is built already
#   scripts/package.sh --check           builds once more elsewhere, from nothing, and compares the archives
#   scripts/package.sh --name TRIPLE     prints the archive's name and ends
#
# stdout carries the archive's path alone; sizes and seconds go to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "package: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# The installer looks for exactly this, after the same name with the version in it.
archive_name() {
  case $1 in
    *-windows-*) echo "agents-$1.zip" ;;
    *) echo "agents-$1.tar.gz" ;;
  esac
}

out=dist target='' program='' check=false
while [ $# -gt 0 ]; do
  case $1 in
    --out | --target | --bin | --name)
      [ $# -ge 2 ] || fail "$1 wants a value; the head of this script lists its options"
      case $1 in
        --out) out=$2 ;;
        --target) target=$2 ;;
        --bin) program=$2 ;;
        --name)
          archive_name "$2"
          exit
          ;;
      esac
      shift 2
      ;;
    --check)
      check=true
      shift
      ;;
    *) fail "$1 is no option; the head of this script lists them" ;;
  esac
done

host=$(rustc -vV | sed -n 's/^host: //p')
cargo_home=${CARGO_HOME:-$HOME/.cargo}
suffix=
case ${target:-$host} in *-windows-*) suffix=.exe ;; esac

# Builds the tree DIRECTORY into TARGET_DIR and prints the program's path. Where the sources and the dependencies
# lie on this machine is not to be read in the program, nor to change a byte of it.
build() { # directory, target directory
  # The last that fits is taken, and the target directory may lie below the sources.
  local flags="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$1=/agents --remap-path-prefix=$2=/target"
  local started=$SECONDS
  (
    cd "$1"
    RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$flags" CARGO_INCREMENTAL=0 \
      cargo build --profile dist --locked --bin agents --target-dir "$2" ${target:+--target "$target"} >&2
  )
  say "built in $((SECONDS - started)) s"
  echo "$2/${target:+$target/}dist/agents$suffix"
}

# Packs the program with the files of the tree DIRECTORY into OUT and prints the archive's path.
pack() { # program, directory, out
  local stage root archive
  stage=$(mktemp -d)
  root=$stage/agents
  archive=$3/$(archive_name "${target:-$host}")
  mkdir -p "$root" "$3"
  cp "$1" "$root/agents$suffix"
  chmod 755 "$root/agents$suffix"
  (cd "$2" && cp -R plugin.toml README.md LICENSE skills examples "$root/")
  if [ -n "$target" ] && [ "$target" != "$host" ]; then
    # A program of another machine cannot be asked; what it would say is the same on all of them.
    [ -n "${MANIFEST_BIN:-}" ] || fail "set MANIFEST_BIN to an agents of this commit that runs here: it prints the manifest"
    "$MANIFEST_BIN" plugin-manifest >"$root/plugin-manifest.json"
  else
    "$root/agents$suffix" plugin-manifest >"$root/plugin-manifest.json"
  fi
  python3 scripts/archive.py "$root" "$archive" "$(git log -1 --format=%ct)"
  rm -rf "$stage"
  (cd "$3" && digest "$(basename "$archive")") >"$archive.sha256"
  echo "$archive"
}

digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi
}

bytes() { wc -c <"$1" | tr -d ' '; }

target_dir=${CARGO_TARGET_DIR:-target}
case $target_dir in /*) ;; *) target_dir=$PWD/$target_dir ;; esac
given=$program
# Not among the other builds: other flags would have both built anew each time. The real names of directories, since the
# compiler is told those, whatever links the shell came by.
if [ -z "$program" ]; then
  mkdir -p "$target_dir/package"
  target_dir=$(cd "$target_dir" && pwd -P)
  program=$(build "$(pwd -P)" "$target_dir/package")
fi
[ -f "$program" ] || fail "$program is no file; build it, or leave --bin away"

at=$SECONDS
mkdir -p "$out"
archive=$(pack "$program" "$PWD" "$(cd "$out" && pwd)")
say "packed in $((SECONDS - at)) s: program $(bytes "$program") bytes, archive $(bytes "$archive") bytes"

if [ -z "$given" ] && LC_ALL=C grep -qaF -e "$cargo_home/" -e "$(pwd -P)/" -e "$target_dir/" "$program"; then
  fail "$program names a directory of this machine ($cargo_home, $(pwd -P) or $target_dir), so another would build other bytes"
fi

if $check; then
  [ -z "$(git status --porcelain)" ] || fail "--check compares builds of one commit, and the tree has changes; commit them"
  elsewhere=$(cd "$(mktemp -d)" && pwd -P)
  trap 'rm -rf "$elsewhere"' EXIT
  git clone --quiet --no-hardlinks . "$elsewhere/agents-again"
  again=$(pack "$(build "$elsewhere/agents-again" "$elsewhere/target")" "$elsewhere/agents-again" "$elsewhere")
  cmp "$archive" "$again" || fail "two builds of $(git rev-parse HEAD) differ: $archive and a second one"
  say "two builds of $(git rev-parse --short HEAD) in different directories gave the same bytes"
fi
cat "$archive.sha256" >&2
echo "$archive"
