#!/usr/bin/env bash
# Prints the absolute path of a real `opencode` 1.18.33 on stdout and nothing else there; what it does
# and how long it takes goes to stderr. The first call installs it by npm into the user's cache; later
# calls only look. OPENCODE_BIN names a binary of your own instead.
set -euo pipefail

version=1.18.33
say() { echo "opencode.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

if [ -n "${OPENCODE_BIN:-}" ]; then
  [ -x "$OPENCODE_BIN" ] || fail "OPENCODE_BIN=$OPENCODE_BIN is not an executable file; correct it, or unset it to have $version installed"
  case "$OPENCODE_BIN" in /*) ;; *) OPENCODE_BIN="$PWD/$OPENCODE_BIN" ;; esac
  say "using OPENCODE_BIN=$OPENCODE_BIN"
  echo "$OPENCODE_BIN"
  exit 0
fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/mesh-agents"
home="$cache/opencode-$version"
if [ -d "$home" ]; then
  echo "$home/node_modules/.bin/opencode"
  exit 0
fi

for tool in npm node; do
  command -v "$tool" >/dev/null 2>&1 ||
    fail "$tool is not on PATH, and OpenCode comes from npm; install Node.js 20 or later, or set OPENCODE_BIN to an opencode $version you have"
done

# The install happens beside the final directory and is renamed at its end, so a broken or interrupted
# one is never used; of two installs at once, the second finds the directory taken and is thrown away.
mkdir -p "$cache"
staging=$(mktemp -d "$cache/opencode-$version.XXXXXX")
trap 'rm -rf "$staging"' EXIT
started=$(date +%s)
say "installing opencode-ai@$version by npm (about 360 MB on disk) into $home"
echo '{"private":true}' >"$staging/package.json"
(cd "$staging" && npm install --no-audit --no-fund --no-progress --loglevel=error "opencode-ai@$version" >&2) ||
  fail "npm could not install opencode-ai@$version; its own message is above"

# npm may be configured not to run install scripts; without this one the launcher is a stub.
runs() { "$staging/node_modules/.bin/opencode" --version 2>/dev/null || true; }
if [ "$(runs)" != "$version" ]; then
  say "npm skipped the package's own postinstall; running it"
  (cd "$staging" && node node_modules/opencode-ai/postinstall.mjs >&2) || fail "the package's postinstall.mjs failed; its own message is above"
fi
[ "$(runs)" = "$version" ] || fail "the installed opencode does not answer '$version' to --version but '$(runs)'"

chmod 755 "$staging"
if node -e 'require("fs").renameSync(process.argv[1], process.argv[2])' "$staging" "$home" 2>/dev/null; then
  say "installed in $(($(date +%s) - started)) s"
else
  [ -d "$home" ] || fail "could not rename $staging to $home"
  say "another install finished first; using it"
fi
echo "$home/node_modules/.bin/opencode"
