#!/usr/bin/env bash
# The Python environment of the tests that hold what we write against the real tools: tensorboard, kubernetes-validate, gRPC, PyYAML.
# Usage: scripts/test_env.sh                 makes it if need be (once, cached) and prints the path of its python
#        scripts/test_env.sh SCRIPT ARGS...  the same, then runs a script in it. Safe to call from two tests at once.
set -euo pipefail

packages=("tensorboard==2.21.0" "grpcio==1.76.0" "setuptools<81" "kubernetes-validate==1.34.1" "PyYAML==6.0.2")

cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
key=$(printf '%s\n' "${packages[@]}" "$(python3 --version)" | sha256sum | cut -c1-12)
env=$cache/test-env-$key

if [ ! -f "$env/.complete" ]; then
  mkdir -p "$cache"
  exec 9> "$cache/test-env.lock"
  flock 9
  if [ ! -f "$env/.complete" ]; then
    rm -rf "$env"
    echo "making the tests' Python environment in $env (once)" >&2
    python3 -m venv "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" >&2
    touch "$env/.complete"
  fi
fi
[ $# -eq 0 ] || exec "$env/bin/python" "$@"
echo "$env/bin/python"
