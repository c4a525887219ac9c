#!/usr/bin/env bash
# The same tests as scripts/test-opencode.sh with real goose; not part of scripts/test.sh. It comes from
# npm into the user's cache the first time; GOOSE_BIN names another one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cached.sh

# Brings goose 1.34.0.
goose=0.20.1

install() { # directory
  cd "$1" && echo '{"private":true}' >package.json &&
    npm install --no-audit --no-fund --no-progress --loglevel=error "@aaif/goose@$goose" "@aaif/goose-binary-linux-x64@$goose"
}

if [ -z "${GOOSE_BIN:-}" ]; then
  for tool in npm node; do
    need "$tool" "goose comes from npm; install Node.js 20 or later, or set GOOSE_BIN to a goose you have"
  done
  cached "goose-npm-$goose" install
  GOOSE_BIN="$cached_dir/node_modules/.bin/goose"
fi
export GOOSE_BIN
started=$SECONDS
cargo test --locked --workspace --test harnesses -- --nocapture "goose::${1:-}"
echo "real goose: $((SECONDS - started)) s"
