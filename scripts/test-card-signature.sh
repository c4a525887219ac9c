#!/usr/bin/env bash
# Has a signed mesh card checked by verifiers that nobody here wrote: PyPI's `a2a-sdk` and npm's
# `@a2a-js/sdk` (A2A 1.0.1, 8.4). The card is the snapshot of crates/mesh-agents-mesh/tests/it/cards.rs,
# so it is what this program signs as long as that test passes. The clients are installed into the user's
# cache the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cached.sh

sdk=1.3.0
# Of the card's signer, whose secret is 32 zero bytes (RFC 8032).
key=3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
snapshot=crates/mesh-agents-mesh/tests/it/snapshots/it__cards__the_wire_form.snap

need python3 "PyPI's a2a-sdk needs it; install Python 3.11 or later"
need npm "@a2a-js/sdk comes from npm; install Node.js 20 or later"
need node "@a2a-js/sdk needs it; install Node.js 20 or later"

install_python() { # directory
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "a2a-sdk[signing]==$sdk" cryptography
}
install_js() { # directory
  cd "$1" && echo '{"private":true}' >package.json &&
    npm install --no-audit --no-fund --no-progress --loglevel=error "@a2a-js/sdk@$sdk"
}
cached "a2a-sdk-signing-$sdk-$(python3 -c 'import sys; print("py%d.%d" % sys.version_info[:2])')" install_python
python="$cached_dir/bin/python"
cached "a2a-js-sdk-$sdk" install_js
modules="$cached_dir/node_modules"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# What stands behind the snapshot's second `---` is the card.
awk 'marks == 2 { printf "%s", $0 } /^---$/ { marks++ }' "$snapshot" >"$stage/card.json"
cp tests/a2a-clients/card/verify.mjs "$stage"
ln -s "$modules" "$stage/node_modules"

bad=0
"$python" tests/a2a-clients/card/verify.py "$stage/card.json" "$key" || bad=1
node "$stage/verify.mjs" "$stage/card.json" "$key" || bad=1
exit "$bad"
