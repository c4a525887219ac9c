#!/usr/bin/env bash
# The arrows of crates/README.md, held by the build: who may depend on whom, and what core must never see.
set -euo pipefail
cd "$(dirname "$0")/.."

fail=0
# What each crate of ours may use of ours (normal dependencies, direct).
allowed() {
  case "$1" in
    mesh-agents-core) ;;
    mesh-agents-registry|mesh-agents-tasks|mesh-agents-acp-bridge|mesh-agents-mesh|mesh-agents-testkit) echo mesh-agents-core ;;
    mesh-agents-a2a) echo mesh-agents-core mesh-agents-tasks ;;
    mesh-agents-plugin) echo mesh-agents-core mesh-agents-registry mesh-agents-tasks mesh-agents-a2a mesh-agents-mesh ;;
    mesh-agents) echo mesh-agents-core mesh-agents-registry mesh-agents-tasks mesh-agents-acp-bridge mesh-agents-a2a mesh-agents-mesh mesh-agents-plugin ;;
    *) echo "unknown-crate" ;;
  esac
}

metadata=$(cargo metadata --locked --format-version 1 --no-deps)
while read -r crate dependency; do
  case " $(allowed "$crate") " in
    *" $dependency "*) ;;
    *) echo "arrows: $crate may not use $dependency (crates/README.md)"; fail=1 ;;
  esac
done < <(python3 - "$metadata" <<'PY'
import json, sys
for package in json.loads(sys.argv[1])["packages"]:
    for dependency in package["dependencies"]:
        if dependency["kind"] is None and dependency["name"].startswith("mesh-agents"):
            print(package["name"], dependency["name"])
PY
)

for banned in tokio axum rusqlite rmcp; do
  if cargo tree --locked -p mesh-agents-core -e normal --prefix none | grep -q "^$banned v"; then
    echo "arrows: mesh-agents-core pulls in $banned; it must have no runtime and no I/O"; fail=1
  fi
done

# Every Rust file says what it is.
while read -r file; do
  head -n 3 "$file" | grep -q '^//!' || { echo "arrows: $file has no //! line"; fail=1; }
done < <(git ls-files '*.rs')

[ "$fail" -eq 0 ] && echo "arrows: ok"
exit "$fail"
