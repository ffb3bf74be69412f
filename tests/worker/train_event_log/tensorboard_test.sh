#!/usr/bin/env bash
# tensorboard_test.sh SAMPLE: runs the sample writer and reads its files with the real TensorBoard.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
python=$("$here/../../../scripts/test_env.sh")
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
"$1" "$logs"
"$python" "$here/tensorboard_test.py" "$logs"
