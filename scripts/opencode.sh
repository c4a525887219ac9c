#!/usr/bin/env bash
# Prints the absolute path of a real `opencode` 1.18.33 on stdout and nothing else there; what it does
# and how long it takes goes to stderr. The first call installs it by npm into the user's cache; later
# calls only look. OPENCODE_BIN names a binary of your own instead.
set -euo pipefail
. "$(dirname "$0")/cached.sh"

version=1.18.33

if [ -n "${OPENCODE_BIN:-}" ]; then
  case "$OPENCODE_BIN" in /*) ;; *) OPENCODE_BIN="$PWD/$OPENCODE_BIN" ;; esac
  [ -x "$OPENCODE_BIN" ] || fail "OPENCODE_BIN=$OPENCODE_BIN is not an executable file; correct it, or unset it to have $version installed"
  say "using OPENCODE_BIN=$OPENCODE_BIN"
  echo "$OPENCODE_BIN"
  exit 0
fi

for tool in npm node; do
  need "$tool" "OpenCode comes from npm; install Node.js 20 or later, or set OPENCODE_BIN to an opencode $version you have"
done

answers() { [ "$("$1/node_modules/.bin/opencode" --version 2>/dev/null)" = "$version" ]; }

install() { # directory. Called as a condition, so `set -e` does not hold in here.
  cd "$1" || return
  echo '{"private":true}' >package.json
  npm install --no-audit --no-fund --no-progress --loglevel=error "opencode-ai@$version" || return
  # npm may be configured not to run install scripts; without this one the launcher is a stub.
  if ! answers "$1"; then
    say "npm skipped the package's own postinstall; running it"
    node node_modules/opencode-ai/postinstall.mjs || return
  fi
  answers "$1" || { say "the installed opencode does not answer $version to --version"; return 1; }
}

cached "opencode-$version" install
echo "$cached_dir/node_modules/.bin/opencode"
