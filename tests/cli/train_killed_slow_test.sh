#!/usr/bin/env bash
# Training killed with SIGKILL at two hundred random moments: every run that is resumed ends with the
# same network, to the bit, as one that was never interrupted.
#   tests/cli/train_killed_slow_test.sh [KILLS]      default 200; needs a release build
set -euo pipefail
kills=${1:-200}
program=${ESPALIER_BUILD_DIR:-build/release}/espalier
[ -x "$program" ] || { echo "no program at $program" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/plain.yaml" <<'YAML'
espalier: 1
task: train
name: killed
seed: 3
model: {zoo: small_digits, variables: {channels: 3, size: 32, classes: 20}}
data: {kind: synthetic, path: glyphs, samples: 2000, cache: off}
training:
  epochs: 2
  batch: 50
  save_every: 5
  log_every: 1
  optimizer: {kind: adamw}
  schedule: {kind: cosine, peak: 3e-3}
YAML
# Each with what it adds to the recipe and its share of the kills: whatever a run keeps beside its
# parameters has to come back as well.
variants=(
  '8'
  '2 memory: 12MB'
  '2 rule: dfa'
  '2 batch_norm: tune'
  '2 generate: {kind: mlp, width: 8, turn: [-30, 30]}'
  $'2 only: [{last_layers: 1}]\n  frozen: int8'
)
shares=18
train() { "$program" train "$work/recipe.yaml" --threads 1 -q "$@" >>"$work/log" 2>&1; }

RANDOM=7
killed=0 runs=0 failed=0 unfinished=0
for variant in "${variants[@]}"; do
  cp "$work/plain.yaml" "$work/recipe.yaml"
  [ "$variant" = "${variant#* }" ] || echo "  ${variant#* }" >>"$work/recipe.yaml"
  rm -rf "$work/whole"
  begin=$(date +%s%N)
  train --out "$work/whole" || { cat "$work/log"; exit 1; }
  whole_ms=$((($(date +%s%N) - begin) / 1000000))
  echo "$(tail -1 "$work/recipe.yaml"): a whole run takes $whole_ms ms"
  enough=$((killed + kills * ${variant%% *} / shares))
  while [ "$killed" -lt "$enough" ]; do
    run="$work/run"
    rm -rf "$run"
    for _ in 1 2 3 4 5; do
      "$program" train "$work/recipe.yaml" --threads 1 -q --out "$run" --resume >>"$work/log" 2>&1 &
      pid=$!  # the program's own
      sleep "$(awk -v r=$RANDOM -v ms=$whole_ms 'BEGIN { printf "%.3f", r / 32768 * ms * 0.7 / 1000 }')"
      if kill -KILL "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
      wait "$pid" 2>/dev/null || true
      [ -f "$run/summary.json" ] || unfinished=$((unfinished + 1))
    done
    train --out "$run" --resume || { echo "run $runs does not go on:"; tail -5 "$work/log"; failed=$((failed + 1)); }
    cmp -s "$work/whole/model.onnx" "$run/model.onnx" || { echo "run $runs ends otherwise"; failed=$((failed + 1)); }
    runs=$((runs + 1))
  done
done
echo "$killed kills in $runs runs, $unfinished of them before the end; $failed runs failed"
# Otherwise too few were hit at work.
[ "$failed" -eq 0 ] && [ "$unfinished" -ge $((kills / 2)) ]
