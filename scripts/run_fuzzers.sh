#!/usr/bin/env bash
# Runs every libFuzzer program of a build folder for a while, starting from its corpus.
# Usage: scripts/run_fuzzers.sh BUILD_DIR SECONDS
# The program NAME_fuzz starts from tests/fuzz/corpus/NAME; what it finds new goes into BUILD_DIR/corpus/NAME, a crash into BUILD_DIR/crashes.
set -euo pipefail

build=$(realpath "$1")
seconds=$2
corpus=$(dirname "$(realpath "$0")")/../tests/fuzz/corpus

mapfile -t programs < <(find "$build" -type f -name '*_fuzz' -perm -u+x | sort)
[ ${#programs[@]} -gt 0 ] || { echo "error: no *_fuzz program under $build" >&2; exit 1; }

mkdir -p "$build/crashes"
failed=0
for program in "${programs[@]}"; do
  name=$(basename "$program" _fuzz)
  found=$build/corpus/$name
  mkdir -p "$found"
  seeds=()
  [ -d "$corpus/$name" ] && seeds=("$corpus/$name")
  if "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 -artifact_prefix="$build/crashes/$name-" \
      "$found" "${seeds[@]}" > "$build/$name.log" 2>&1; then
    echo "$name: ok, $(awk '/number_of_executed_units/ { print $2 }' "$build/$name.log") inputs in $seconds s"
  else
    echo "$name: FAILED; the input is in $build/crashes, the log ends:"
    tail -25 "$build/$name.log"
    failed=1
  fi
done
exit $failed
