#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"

passes check_sizes
seq 700 >"$house/src/base/long.cpp"
passes check_sizes
"$tools/check_sizes" "$house" | grep -q 'long.cpp: 700 lines.*warning'
seq 701 >"$house/src/base/long.cpp"
fails_with check_sizes 'src/base/long.cpp: 701 lines; the limit is 700'
mv "$house/src/base/long.cpp" "$house/tests/long.h"
fails_with check_sizes 'tests/long.h: 701 lines'
