#!/usr/bin/env bash
# Every supported architecture against transformers, live: tiny random models of three seeds, hidden states, gradients, 20 AdamW
# steps; run by scripts/fidelity.sh. Usage: tests/fidelity/architectures.sh PYTHON ARCHITECTURE_TEST
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
  # A folder without cases has nothing that fails. Five tests of each, and a sixth of those with an embedding token.
  if [ "$cases" -eq 0 ] || [ "${passed:-0}" -lt $((5 * cases)) ]; then
    cat "$work/log"
    echo "FAILED: $cases cases, ${passed:-0} tests passed" >&2
    exit 1
  fi
  echo "seed $seed: $passed tests of $cases architectures; largest differences:"
  awk '/largest difference|differs? by/ {
         match($0, /[0-9.]+e[-+][0-9]+/)
         what = $2 == "20" ? "20 steps" : $2 == "hidden" ? "hidden" : $2 == "item" ? "embeddings" : $2
         value[$1, what] = substr($0, RSTART, RLENGTH)
         if (!($1 in seen)) { seen[$1] = 1; order[++n] = $1 }
       }
       END {
         split("hidden,embeddings,pooled,gradients,20 steps", columns, ",")
         printf "  %-20s", ""; for (c = 1; c <= 5; ++c) printf "%12s", columns[c]; print ""
         for (i = 1; i <= n; ++i) {
           printf "  %-20s", order[i]
           for (c = 1; c <= 5; ++c) printf "%12s", (order[i], columns[c]) in value ? value[order[i], columns[c]] : "-"
           print ""
         }
       }' "$work/log"
done
