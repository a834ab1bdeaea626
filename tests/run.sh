#!/usr/bin/env bash
# Runs the tests with cargo-nextest where it is installed, else with cargo test.
set -euo pipefail
if command -v cargo-nextest >/dev/null; then
  exec cargo nextest run "$@"
fi
exec cargo test "$@"
