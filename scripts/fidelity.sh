#!/usr/bin/env bash
# Compares what this project exports and computes with Python's transformers, and its reading of data with pandas: `make fidelity`.
# Usage: scripts/fidelity.sh [BEST_MODEL_DIR [DATASET_DIR]]
# Without arguments it trains a small model on part of the quickstart data first. DATASET_DIR defaults to the prepared dataset that
# BEST_MODEL_DIR/hllm.json names, in the cache of `pixelrecctl local up`.
set -euo pipefail
root=$(dirname "$(dirname "$(realpath "$0")")")
bin=${PIXELREC_BIN_DIR:-$root/build/bin}
cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
quickstart=$root/deploy/quickstart
python=$("$root/scripts/fidelity_env.sh")
work=$(mktemp -d)
trap '"$bin/pixelrecctl" local down --dir "$work/cluster" > /dev/null 2>&1 || true; rm -rf "$work"' EXIT

"$python" "$root/tests/fidelity/oracle_test.py" "$root/tests/golden/stories260k-movietweetings"

"$root/tests/fidelity/architectures.sh" "$python" "${PIXELREC_TEST_DIR:-$root/build/tests}/architecture_test"

"$python" "$root/tests/fidelity/live_hllm.py" "$bin/pixelrec-golden"

"$python" "$root/tests/worker/tokenizer/cases/make_cases.py" --check "$root/tests/worker/tokenizer/cases"

train_small_model() {
  head -2501 "$quickstart/movietweetings-100k/interactions.csv" > "$work/interactions.csv"
  cat > "$work/job.yaml" <<YAML
apiVersion: pixelrec/v1
kind: TrainingJob
metadata: {name: fidelity}
spec:
  data:
    interaction_data: $work/interactions.csv
    text_data: $quickstart/movietweetings-100k/items.csv
    text_keys: [title, tag]
    item_prompt: ""
    max_text_length: 32
  model: {item_model_dir: $quickstart/stories260k, user_model_dir: $quickstart/stories260k, gradient_checkpointing: false}
  train: {global_batch_size: 32, num_train_epochs: 1, learning_rate: 2.0e-3, bf16: false}
  output_dir: $work/output
YAML
  "$bin/pixelrecctl" local up --workers 1 --dir "$work/cluster" > /dev/null
  PIXELREC_LOCAL_DIR=$work/cluster "$bin/pixelrecctl" submit --wait "$work/job.yaml"
  "$bin/pixelrecctl" local down --dir "$work/cluster" > /dev/null
}

interactions=$quickstart/movietweetings-100k/interactions.csv
if [ $# -eq 0 ]; then
  train_small_model
  set -- "$work/output/best_model"
  interactions=$work/interactions.csv
fi
model=$1
dataset=${2:-$cache/datasets/$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["data_hash"])' "$model/hllm.json")}
"$python" "$root/tests/fidelity/best_model_test.py" --trainer "$bin/pixelrec-trainer" --model "$model" --dataset "$dataset" \
  --interactions "${FIDELITY_INTERACTIONS:-$interactions}" --items "${FIDELITY_ITEMS:-$quickstart/movietweetings-100k/items.csv}"
"$python" "$root/tests/fidelity/export_test.py" --trainer "$bin/pixelrec-trainer" --model "$model" --dataset "$dataset"
