#!/usr/bin/env bash
# A fit killed with SIGKILL at three points and resumed ends with the same networks and accuracies as one
# that ran through. Times differ, so the choice among candidates is not compared.
set -u
espalier=$ESPALIER_BUILD_DIR/espalier
[ -x "$espalier" ] || { echo "no program at $espalier"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { # folder, further options
  local folder=$1
  shift
  "$espalier" fit "$ESPALIER_SOURCE_DIR/recipes/fit/demo.yaml" -q --threads 2 -o "$folder" \
    --set data.limit=1500 --set training.epochs=2 --set prune.epochs=3 --set calibration=64 "$@" \
    >"$folder.log" 2>&1
}
start=$(date +%s.%N)
run "$work/whole" || { cat "$work/whole.log"; exit 1; }
took=$(awk "BEGIN {print $(date +%s.%N) - $start}")
for part in 0.15 0.35 0.6; do
  run "$work/killed" --resume &
  sleep "$(awk "BEGIN {print $took * $part}")"
  pkill -KILL -f "$work/killed" 2>/dev/null
  wait 2>/dev/null
done
run "$work/killed" --resume || { cat "$work/killed.log"; exit 1; }
failed=0
for plan in "$work"/whole/stages/*.plan; do
  cmp -s "$plan" "$work/killed/stages/$(basename "$plan")" || { echo "$(basename "$plan") differs"; failed=1; }
done
facts() { grep -E '"(accuracy|macs|params|weight_bytes|name|train_loss|validation_accuracy)"' "$1"; }
candidates() { sed -n '/"candidates"/,$p' "$1" | sed '/"layers"/,/"curves"/d' >"$1.part"; facts "$1.part"; }
diff <(candidates "$work/whole/summary.json") <(candidates "$work/killed/summary.json") >"$work/diff" ||
  { echo "summaries differ:"; head -20 "$work/diff"; failed=1; }
exit $failed
