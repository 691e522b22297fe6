#!/usr/bin/env bash
# calibrate from nothing, stopped and continued, and both reproductions that stand on it, at a tenth of
# their size: that they end, and say what they measured. What they measured is not judged here.
set -euo pipefail
espalier=$ESPALIER_BUILD_DIR/espalier
[ -x "$espalier" ] || { echo "no program at $espalier"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ESPALIER_CACHE=$work/cache

fail() {
  echo "$1"
  exit 1
}
# The first value of a key in a file of JSON on one line.
value() { grep -o "\"$2\":[^,}]*" "$1" | head -n 1 | cut -d: -f2; }
positive() { awk "BEGIN {exit !(${1:-0} > 0)}" || fail "$2 is '$1'"; }

# Stopped by time, continued, complete.
calibrate=("$espalier" calibrate --threads 1 --no-zoo --json)
"${calibrate[@]}" --samples 150 --minutes 0.2 >"$work/first.json"
"${calibrate[@]}" --samples 150 >"$work/second.json"
[ "$(value "$work/second.json" complete)" = true ] || fail "the second call did not finish"
[ "$(value "$work/second.json" measured)" = 150 ] || fail "networks were lost"
[ "$(value "$work/first.json" f32_gmacs)" = "$(value "$work/second.json" f32_gmacs)" ] ||
  fail "peaks were measured twice"
for key in f32_gmacs l1_gbs memory_gbs regions training held_out; do
  positive "$(grep -o "\"$key\":[0-9][^,}]*" "$work/second.json" | head -n 1 | cut -d: -f2)" "$key"
done

# Ctrl-C saves and ends as shells expect. A command that bash starts behind itself ignores SIGINT,
# so SIGTERM stands for it.
"${calibrate[@]}" --samples 100000 -o "$work/stopped.json" -q >/dev/null &
running=$!
sleep 20
kill -TERM "$running"
code=0
wait "$running" || code=$?
[ "$code" = 130 ] || fail "a signal ended it with $code"
[ -s "$work/stopped.json" ] || fail "a signal lost what was measured"

for recipe in mlir-cost-model ncpp; do
  sed -e 's/^samples: .*/samples: 100/' -e 's/^decisions: .*/decisions: 4/' \
    -e 's/^steps: .*/steps: 100/' -e 's/^threads: .*/threads: [1]/' \
    "$ESPALIER_SOURCE_DIR/recipes/reproduce/$recipe.yaml" >"$work/$recipe.yaml"
  code=0
  "$espalier" reproduce "$work/$recipe.yaml" --threads 1 --json >"$work/$recipe.json" || code=$?
  # A machine with fewer than three instruction sets has too few configurations on one thread.
  [ "$recipe" = ncpp ] && [ "$code" = 3 ] && exit 0
  [ "$code" -le 1 ] || fail "$recipe ended with $code"
  positive "$(value "$work/$recipe.json" seconds)" "seconds of $recipe"
  positive "$(value "$work/$recipe.json" mape)" "mape of $recipe"
  grep -qE '"verdict":"(holds|falls short)"' "$work/$recipe.json" || fail "$recipe has no verdict"
done
[ -z "$(ls -A "$work/cache/reproduce")" ] || fail "reproductions left something behind"
