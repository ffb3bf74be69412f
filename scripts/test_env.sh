#!/usr/bin/env bash
# The Python environment of the tests that hold what we write against the real tools: tensorboard, kubernetes-validate, gRPC, PyYAML.
# Usage: scripts/test_env.sh                 prints the path of its python
#        scripts/test_env.sh SCRIPT ARGS...  runs a script in it
set -euo pipefail

python=$("$(dirname "$0")/python_env.sh" test 1 \
  "tensorboard==2.21.0" "grpcio==1.76.0" "setuptools<81" "kubernetes-validate==1.34.1" "PyYAML==6.0.2")
[ $# -eq 0 ] || exec "$python" "$@"
echo "$python"
