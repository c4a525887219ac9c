#!/usr/bin/env bash
# A node for the suites: `node.sh start STAGE` prints its address and leaves it running, `node.sh
# kill STAGE` ends its engine with SIGKILL, `node.sh stop STAGE` lets it end. A node that is started
# again has the port and the data it had before.
#
# AGENTS_BIN and A2A_TEST_AGENT name the programs `agents` and `scripted-acp-agent`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stage=$2

pid() { cat "$stage/pid"; }
gone() { # seconds
  local tries=$(($1 * 50))
  while kill -0 "$(pid)" 2>/dev/null; do
    [ $((tries -= 1)) -gt 0 ] || return 1
    sleep 0.02
  done
}

prepare() {
  mkdir -p "$stage"/{home/sessions,tmp,gates,data/a2a}
  cp -R "$here/agents" "$stage/agents"
  for name in alice bob; do
    echo "this-is-the-token-of-$name" >"$stage/$name.token"
  done
  cat >"$stage/data/a2a/agents.toml" <<EOF
push_allow = ["127.0.0.1"]
[access_tokens]
alice = "$stage/alice.token"
bob = "$stage/bob.token"
EOF
}

case "$1" in
  start)
    [ -d "$stage/agents" ] || prepare
    listen=127.0.0.1:0
    [ ! -f "$stage/url" ] || listen=$(sed 's|^http://||' "$stage/url")
    : >"$stage/serve.log"
    env -i PATH="$PATH" LANG=C.UTF-8 HOME="$stage/home" TMPDIR="$stage/tmp" \
      MESH_AGENTS_DIR="$stage/agents" MESH_AGENTS_DATA_DIR="$stage/data" \
      A2A_TEST_AGENT="$A2A_TEST_AGENT" \
      "$AGENTS_BIN" serve --listen "$listen" </dev/null >>"$stage/serve.log" 2>&1 &
    echo $! >"$stage/pid"
    until url=$(sed -n 's/^ready //p' "$stage/serve.log") && [ -n "$url" ]; do
      kill -0 "$(pid)" 2>/dev/null || {
        cat "$stage/serve.log" >&2
        exit 1
      }
      sleep 0.02
    done
    echo "$url" | tee "$stage/url"
    ;;
  kill)
    kill -KILL "$(pid)"
    gone 60
    ;;
  stop)
    [ -f "$stage/pid" ] || exit 0
    kill "$(pid)" 2>/dev/null || exit 0
    gone 60 || kill -KILL "$(pid)" 2>/dev/null || true
    ;;
  *)
    echo "usage: node.sh start|kill|stop STAGE" >&2
    exit 2
    ;;
esac
