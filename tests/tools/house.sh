# shellcheck shell=bash
# For the tests of tools/: a small source tree in a temporary folder, and ways to say what a check
# must answer. Sourced by the *_test.sh beside it, which plant violations in $house.
set -euo pipefail
tools=$ESPALIER_SOURCE_DIR/tools
house=$(mktemp -d)
trap 'rm -rf "$house"' EXIT

mkdir -p "$house"/src/{base,kernels,ops/unary,passes,api} "$house"/tests
cat >"$house/CMakeLists.txt" <<'CMAKE'
set(ESPALIER_FLOORS base kernels/ir ops passes
    api)  # a comment
espalier_folder(base    LINK base_is_a_library_here)
espalier_folder(kernels USES base LINK x)
espalier_folder(ops     USES kernels)
espalier_folder(passes  USES ops)
espalier_folder(api     USES passes)
CMAKE
# put FILE LINE...
put() {
  local file=$house/$1
  shift
  mkdir -p "$(dirname "$file")"
  printf '%s\n' "$@" >"$file"
}
put src/base/error.h '#include <string>'
put src/kernels/dense.cpp '#include "base/error.h"'
put src/ops/unary/relu.cpp '#include "kernels/dense.h"' '#include "base/error.h"' \
  '    .onnx = {"Relu", 14},' '    .onnx =' '        {"LeakyRelu", 16, ""},'
put src/passes/fuse_chain.cpp '#include "ops/room.h"' 'if (name == "Relu") {}'
put src/api/version.cpp '#include "espalier/version.h"'

# passes CHECK: the check finds nothing.
passes() {
  local said
  said=$("$tools/$1" "$house") || { echo "$1 should pass but says: $said"; exit 1; }
}
# fails_with CHECK TEXT: the check exits 1 and its answer contains TEXT.
fails_with() {
  local said rc=0
  said=$("$tools/$1" "$house" 2>&1) || rc=$?
  [ "$rc" -eq 1 ] || { echo "$1 exits $rc where 1 is due for: $2"; exit 1; }
  grep -qF -e "$2" <<<"$said" || { echo "$1 should say '$2' but says: $said"; exit 1; }
}
