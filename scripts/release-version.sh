#!/usr/bin/env bash
# release-version.sh VERSION: whether it is a version to release (v and three numbers, perhaps a -suffix), and the one
# of Cargo.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?release-version.sh wants a version, such as v0.1.0}
number='(0|[1-9][0-9]*)'
if ! [[ $version =~ ^v$number\.$number\.$number(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "release-version: $version is no version; write v and three numbers, such as v0.1.0" >&2
  exit 1
fi
own=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [ "$version" != "v$own" ]; then
  echo "release-version: $version is to be released and Cargo.toml says $own; change one of them" >&2
  exit 1
fi
