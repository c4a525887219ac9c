#!/usr/bin/env bash
# Drives `agents` through its whole flow by MCP clients that nobody here wrote: PyPI's `mcp`, over
# HTTP and stdio, and the command-line mode of npm's `@modelcontextprotocol/inspector`. Both are
# installed into the user's cache the first time. Ends with `N passed, 0 failed`.
#
# AGENTS_BIN names the `agents` to test; without it target/debug/agents is built.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cached.sh

mcp=2.3.0
# The newest releases need Node.js 22; this one also runs on 20.
inspector=0.16.8

need python3 "PyPI's MCP client needs it; install Python 3.10 or later"
need npm "the inspector comes from npm; install Node.js 20 or later"
need node "the inspector needs it; install Node.js 20 or later"

install_mcp() { # directory
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "mcp==$mcp"
}
install_inspector() { # directory
  cd "$1" && echo '{"private":true}' >package.json &&
    npm install --no-audit --no-fund --no-progress --loglevel=error "@modelcontextprotocol/inspector@$inspector"
}
# Wheels fit one version of Python.
cached "mcp-$mcp-$(python3 -c 'import sys; print("py%d.%d" % sys.version_info[:2])')" install_mcp
python="$cached_dir/bin/python"
cached "mcp-inspector-$inspector" install_inspector
inspect="$cached_dir/node_modules/.bin/mcp-inspector"

if [ -z "${AGENTS_BIN:-}" ]; then
  # --workspace only chooses the same features of dependencies as scripts/test.sh, so nothing is built twice.
  cargo build --quiet --locked --workspace --bin agents
  AGENTS_BIN="$PWD/${CARGO_TARGET_DIR:-target}/debug/agents"
  case "${CARGO_TARGET_DIR:-}" in /*) AGENTS_BIN="$CARGO_TARGET_DIR/debug/agents" ;; esac
fi

stage=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  "$AGENTS_BIN" --data-dir "$stage/on-demand" stop --now >/dev/null 2>&1 || true
  rm -rf "$stage"
}
trap finish EXIT

mkdir -p "$stage/agents/sleeper" "$stage/home"
cp -R examples/test-runner "$stage/agents/"
cp -R crates/mesh-agents-cli/demo/shop "$stage/shop"
sed 's/test-runner/sleeper/g; s/Test Runner/Sleeper/g' examples/test-runner/agent-card.json >"$stage/agents/sleeper/agent-card.json"
echo "It sleeps." >"$stage/agents/sleeper/instructions.md"
printf '[runtime]\ntype = "command"\ncommand = "sleep"\nargs = ["600"]\n' >"$stage/agents/sleeper/runtime.toml"
export HOME="$stage/home" MESH_AGENTS_DIR="$stage/agents"

"$AGENTS_BIN" --data-dir "$stage/served" serve --listen 127.0.0.1:0 2>"$stage/serve.log" &
server=$!
# Ends when it says so, or when it has ended.
until url=$(sed -n 's/^ready //p' "$stage/serve.log") && [ -n "$url" ]; do
  kill -0 "$server" 2>/dev/null || fail "agents serve did not start: $(cat "$stage/serve.log")"
  sleep 0.05
done

passed=0
failed=0
count() { # the lines of one run on stdin
  while IFS= read -r line; do
    echo "$line"
    case "$line" in
      *" passed, "*)
        set -- $line
        passed=$((passed + $1)) failed=$((failed + $3))
        ;;
    esac
  done
}
flow() { # arguments of flow.py
  local status=0
  "$python" scripts/mcp-clients/flow.py "$@" >"$stage/flow.out" || status=$?
  count <"$stage/flow.out"
  [ "$status" = 0 ] || [ "$(grep -c '^FAILED' "$stage/flow.out")" -gt 0 ] || fail "flow.py $1 ended early"
}
flow http "$url/mcp" "$stage/shop"
task=$(sed -n 's/^task //p' "$stage/flow.out")
flow http-initialize "$url/mcp" "$stage/shop"
flow sees "$task" "$AGENTS_BIN" --data-dir "$stage/served" mcp
flow stdio "$stage/shop" "$AGENTS_BIN" --data-dir "$stage/on-demand" mcp

# The inspector: one process per request. Its answers are read by a JSON parser that is not ours either.
ask() { "$inspect" --cli "$url/mcp" --transport http "$@" >"$stage/answer.json" 2>"$stage/inspector.log" || true; }
check() { # what, a JavaScript condition on `a`, the answer
  if node -e 'const a = JSON.parse(require("fs").readFileSync(process.argv[1])); process.exit(eval(process.argv[2]) ? 0 : 1)' "$stage/answer.json" "$2" 2>/dev/null; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $1"
    head -c 2000 "$stage/answer.json" "$stage/inspector.log"
  fi
}
before=$((passed + failed))
ask --method tools/list
check "the inspector lists the tools" 'a.tools.length === 8 && a.tools.every(t => t.outputSchema)'
ask --method tools/call --tool-name get_agents --tool-arg limit=1
check "the inspector calls get_agents" '!a.isError && a.structuredContent.agents.length === 1 && a.structuredContent.next_cursor'
ask --method tools/call --tool-name view_data_artifact --tool-arg "task_id=$task" artifact_id=findings.json pointer=/findings/0/file
check "the inspector reads one value of an artifact" '!a.isError && a.structuredContent.data === "total.sh"'
ask --method tools/call --tool-name get_task --tool-arg task_id=nonsense
check "the inspector is told what was wrong" 'a.isError && a.content[0].text.startsWith("invalid_argument: ")'
echo "$((passed + failed - before)) calls by the inspector"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
