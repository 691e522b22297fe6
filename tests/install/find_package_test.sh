#!/usr/bin/env bash
# Installs to one folder, moves the installation to another (it must not remember where it was),
# builds examples/find_package against it and runs the program.
set -euo pipefail
work=$ESPALIER_BUILD_DIR/install_test
rm -rf "$work"
mkdir -p "$work"

cmake --install "$ESPALIER_BUILD_DIR" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
if grep -rl -e "$ESPALIER_SOURCE_DIR" -e "$work/first" "$work/prefix/lib/cmake"; then
  echo "the files above name the source tree or the first place of the installation"
  exit 1
fi

version=$(sed -n 's/^project(espalier VERSION \([0-9.]*\).*/\1/p' "$ESPALIER_SOURCE_DIR/CMakeLists.txt")
cmake -S "$ESPALIER_SOURCE_DIR/examples/find_package" -B "$work/example" -G Ninja \
  -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
cmake --build "$work/example" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
said=$("$work/example/example")
[ "$said" = "espalier $version" ] || { echo "expected 'espalier $version', got '$said'"; exit 1; }
rm -rf "$work"
