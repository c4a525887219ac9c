#!/usr/bin/env bash
# Drives every operation of A2A 1.0, on both bindings, by clients that nobody here wrote: PyPI's
# `a2a-sdk`, npm's `@a2a-js/sdk`, and the Rust crate `a2a-client-lf`; then kills the node with SIGKILL,
# starts it again and looks at everything once more. What no client would send is sent as plain HTTP
# (`raw`). The clients are installed into the user's cache the first time.
#
# Prints `ok|FAIL|skip CLIENT BINDING CHECK (REASON)` for each check, then the skips, and at the end
# `N passed, M failed, K skipped`. A check that a client does not report at all is a failure.
#
# AGENTS_BIN and A2A_TEST_AGENT name the `agents` and the `scripted-acp-agent` to test; without them
# both are built. With arguments, only checks whose name contains one of them are made, by Python and
# JavaScript alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cached.sh

sdk=1.3.0
# Skips there may be, each with its reason: more would mean that something is not tested.
skips=5

need python3 "PyPI's a2a-sdk needs it; install Python 3.11 or later"
need npm "@a2a-js/sdk comes from npm; install Node.js 20 or later"
need node "@a2a-js/sdk needs it; install Node.js 20 or later"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is older than 3.11, which the suite needs"

install_python() { # directory
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "a2a-sdk[signing]==$sdk" cryptography
}
install_js() { # directory
  cd "$1" && echo '{"private":true}' >package.json &&
    npm install --no-audit --no-fund --no-progress --loglevel=error "@a2a-js/sdk@$sdk"
}
# Wheels fit one version of Python. The same installation serves scripts/test-card-signature.sh.
cached "a2a-sdk-signing-$sdk-$(python3 -c 'import sys; print("py%d.%d" % sys.version_info[:2])')" install_python
python="$cached_dir/bin/python"
cached "a2a-js-sdk-$sdk" install_js
modules="$cached_dir/node_modules"

if [ -z "${AGENTS_BIN:-}" ] || [ -z "${A2A_TEST_AGENT:-}" ]; then
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  cargo build --quiet --locked --workspace --bin agents --bin scripted-acp-agent
  target=${CARGO_TARGET_DIR:-target}
  case "$target" in /*) ;; *) target="$PWD/$target" ;; esac
  export AGENTS_BIN="$target/debug/agents" A2A_TEST_AGENT="$target/debug/scripted-acp-agent"
fi

stage=$(mktemp -d)
node="$PWD/tests/a2a-clients/node.sh"
finish() {
  for one in python js; do "$node" stop "$stage/$one" || true; done
  rm -rf "$stage"
}
trap finish EXIT
mkdir "$stage/python" "$stage/js"

# A module finds what it imports beside itself.
cp tests/a2a-clients/js/*.mjs "$stage/js"
ln -s "$modules" "$stage/js/node_modules"

# Both at once, each with a node of its own; and the Rust client after them, which cargo starts.
PYTHONDONTWRITEBYTECODE=1 "$python" tests/a2a-clients/python/suite.py "$node" "$stage/python" "$@" >"$stage/python.out" 2>"$stage/python.err" &
python_pid=$!
node "$stage/js/suite.mjs" "$node" "$stage/js" "$@" >"$stage/js.out" 2>"$stage/js.err" || echo "js ended with $?" >>"$stage/js.err"
wait "$python_pid" || echo "python ended with $?" >>"$stage/python.err"
if [ $# = 0 ]; then
  cargo test --quiet --locked --workspace --test a2a -- --nocapture >"$stage/rust.out" 2>"$stage/rust.err" || echo "rust ended with $?" >>"$stage/rust.err"
fi

cat "$stage"/*.out | grep -E '^(ok|FAIL|skip) ' >"$stage/all" || fail "no check was made: $(cat "$stage"/*.err)"
cat "$stage/all"

# Every check of the list by every client on both bindings.
if [ $# = 0 ]; then
  cut -d' ' -f2-4 "$stage/all" | sort >"$stage/made"
  while read -r clients check; do
    [ "$clients" != all ] || clients="python js rust"
    for client in $clients; do
      echo "$client http-json $check"
      echo "$client jsonrpc $check"
    done
  done <tests/a2a-clients/checks.txt | sort >"$stage/wanted"
  diff "$stage/wanted" "$stage/made" >"$stage/differs" || {
    echo "the checks made (>) are not those of tests/a2a-clients/checks.txt (<):"
    cat "$stage/differs"
  } | tee "$stage/missing"
fi

passed=$(grep -c '^ok ' "$stage/all" || true)
failed=$(grep -c '^FAIL ' "$stage/all" || true)
skipped=$(grep -c '^skip ' "$stage/all" || true)
if [ -s "$stage/missing" ]; then failed=$((failed + $(grep -c '^[<>]' "$stage/missing"))); fi
if [ "$failed" != 0 ]; then
  for one in "$stage"/*.err "$stage"/*/serve.log; do
    [ ! -s "$one" ] || { echo "--- ${one#"$stage/"}" && tail -c 3000 "$one"; }
  done
  grep '^FAIL ' "$stage/all" || true
fi
[ "$skipped" = 0 ] || { echo "skipped:" && grep '^skip ' "$stage/all"; }
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$skipped" -le "$skips" ]
