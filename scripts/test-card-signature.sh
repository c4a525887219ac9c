#!/usr/bin/env bash
# Has signed cards checked by verifiers that nobody here wrote: PyPI's `a2a-sdk` and npm's `@a2a-js/sdk`
# (A2A 1.0.1, 8.4). The mesh card is the snapshot of crates/mesh-agents-mesh/tests/it/cards.rs, so it is
# what this program signs as long as that test passes. The HTTP cards are those a node serves: one as it is
# meant to be, and one with members of its author's own and with empty ones; their key is read where the
# signature says. The clients are installed into the user's cache the first time.
#
# AGENTS_BIN names the `agents` to test; without it, it is built.
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
need curl "cards are read with it"

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

if [ -z "${AGENTS_BIN:-}" ]; then
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  cargo build --quiet --locked --workspace --bin agents
  target=${CARGO_TARGET_DIR:-target}
  case "$target" in /*) ;; *) target="$PWD/$target" ;; esac
  export AGENTS_BIN="$target/debug/agents"
fi

stage=$(mktemp -d)
node="$PWD/tests/a2a-clients/node.sh"
finish() {
  A2A_TEST_AGENT=unused "$node" stop "$stage" || true
  rm -rf "$stage"
}
trap finish EXIT
# What stands behind the snapshot's second `---` is the card.
awk 'marks == 2 { printf "%s", $0 } /^---$/ { marks++ }' "$snapshot" >"$stage/card.json"
cp tests/a2a-clients/card/verify.mjs "$stage"
ln -s "$modules" "$stage/node_modules"

bad=0
check() { # what, card, key
  "$python" tests/a2a-clients/card/verify.py "$@" || bad=1
  node "$stage/verify.mjs" "$@" || bad=1
}
check "a mesh card as it travels" "$stage/card.json" "$key"

mkdir -p "$stage"/{agents,home,tmp,data}
cp -R examples/test-runner "$stage/agents/plain"
cp -R examples/test-runner "$stage/agents/own"
sed -i.bak 's|^{|{ "x-own": [1, ""], "iconUrl": "", "securityRequirements": [{ "schemes": { "bearer": {} } }],|' \
  "$stage/agents/own/agent-card.json"
url=$(A2A_TEST_AGENT=unused "$node" start "$stage")
curl --silent --fail "$url/.well-known/jwks.json" >"$stage/jwks.json"
for agent in plain own; do
  curl --silent --fail "$url/a2a/agents/$agent/.well-known/agent-card.json" >"$stage/$agent.json"
  check "the HTTP card of the agent \"$agent\"" "$stage/$agent.json" "$stage/jwks.json"
done
exit "$bad"
