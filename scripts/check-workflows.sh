#!/usr/bin/env bash
# Checks .github/workflows without GitHub: that they are YAML of the shape that GitHub takes (its JSON Schema, by
# `check-jsonschema`), and that every action is pinned to a commit, permissions are the least, and nothing of a caller's
# reaches a shell (`zizmor`). Both come from PyPI into the user's cache the first time. What it cannot tell is whether
# a runner with such a label is still there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cached.sh

schemas=0.39.0
zizmor=1.32.0

need python3 "both checkers come from PyPI; install Python 3.10 or later"
need node "the cache is filled with its rename(2); install Node.js 20 or later"
install_checkers() { # directory
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "check-jsonschema==$schemas" "zizmor==$zizmor"
}
# Wheels fit one version of Python.
cached "workflows-$schemas-$zizmor-$(python3 -c 'import sys; print("py%d.%d" % sys.version_info[:2])')" install_checkers

"$cached_dir/bin/python" -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$cached_dir/bin/zizmor" --quiet --no-progress --offline --persona pedantic .github/workflows
