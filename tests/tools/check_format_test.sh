#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"
command -v clang-format-14 >/dev/null || { echo "clang-format-14 is not installed"; exit 77; }

cp "$ESPALIER_SOURCE_DIR/.clang-format" "$house"
rm -r "$house/src"
put src/base/a.cpp 'int f(int x) { return x; }'
passes check_format
put src/base/a.cpp 'int f( int x ){return x;}'
fails_with check_format 'src/base/a.cpp:1'
"$tools/check_format" --fix "$house" >/dev/null
passes check_format
