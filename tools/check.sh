#!/usr/bin/env bash
# Everything a change must pass, cheapest first. `make check` installs the tools it needs.
# Runs every check even after one failed, and says at the end which did.
#   tools/check.sh [BASE]     BASE: see tools/check_tidy
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=()
run() {
  echo "== $1"
  shift
  "$@" || failed+=("$1")
}
run "format" tools/check_format
run "layers" tools/check_layers
run "file sizes" tools/check_sizes
run "definitions" tools/check_definitions
run "operator names" tools/check_operator_names
run "build and tests" make --no-print-directory test
run "clang-tidy on changed files" tools/check_tidy . "$@"

if [ ${#failed[@]} -gt 0 ]; then
  echo "check.sh: failed: ${failed[*]}"
  exit 1
fi
echo "check.sh: all passed"
