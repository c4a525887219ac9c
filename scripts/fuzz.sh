#!/usr/bin/env bash
# The fuzz targets under libFuzzer: scripts/fuzz.sh [seconds for each] [target…]. Needs a nightly compiler
# (rustup toolchain install nightly) and installs cargo-fuzz by name when it is missing. What it finds
# lies in tests/fuzz/artifacts and replays with: cargo +nightly fuzz run --fuzz-dir tests/fuzz TARGET FILE.
# Without a nightly the same targets run as tests: FUZZ_SECONDS=20 cargo test --test fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "fuzz.sh: no nightly compiler here; running the same targets as tests, $seconds s each"
  FUZZ_SECONDS=$seconds exec cargo test --locked --test fuzz -- --nocapture --test-threads 1
fi
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir tests/fuzz)
fi
for target in "${targets[@]}"; do
  echo "=== $target, $seconds s"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" -- -max_total_time="$seconds" -max_len=4096
done
