#!/usr/bin/env bash
# Every supported architecture against transformers, live: tiny random models of three seeds, hidden states and gradients; run by
# scripts/fidelity.sh. Usage: tests/fidelity/architectures.sh PYTHON ARCHITECTURE_TEST
set -euo pipefail
python=$1
test=$2
root=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for seed in 1 2 3; do
  "$python" "$root/tests/golden/architectures/make_cases.py" --seed "$seed" --out "$work/seed-$seed"
  PIXELREC_ARCHITECTURES=$work/seed-$seed "$test" --gtest_brief=1 > "$work/log" || { cat "$work/log"; exit 1; }
  cases=$(find "$work/seed-$seed" -name expected.safetensors | wc -l)
  passed=$(sed -n 's/.*PASSED.* \([0-9]*\) tests.*/\1/p' "$work/log")
  # A folder without cases has nothing that fails.
  if [ "$cases" -eq 0 ] || [ "${passed:-0}" -lt $((4 * cases)) ]; then
    cat "$work/log"
    echo "FAILED: $cases cases, ${passed:-0} tests passed" >&2
    exit 1
  fi
  echo "seed $seed: $cases architectures, largest differences:"
  grep -E "hidden states|gradients" "$work/log" | sed 's/^/  /'
done
