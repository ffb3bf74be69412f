#!/usr/bin/env bash
# A pinned Python environment, made once and cached; prints the path of its python. Safe to call from two places at once.
# Usage: scripts/python_env.sh NAME NEEDED_GIB PACKAGE==VERSION...
# It lies at $PIXELREC_CACHE/NAME-env-<hash of packages and Python version> and is complete when it holds the file `.complete`.
set -euo pipefail

name=$1 needed_gib=$2
shift 2

cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
key=$(printf '%s\n' "$@" "$(python3 --version)" | sha256sum | cut -c1-12)
env=$cache/$name-env-$key

if [ ! -f "$env/.complete" ]; then
  mkdir -p "$cache"
  exec 9> "$cache/$name-env.lock"
  flock 9
  if [ ! -f "$env/.complete" ]; then
    rm -rf "$env"
    free_gib=$(df --output=avail -BG "$cache" | tail -1 | tr -dc 0-9)
    [ "$free_gib" -ge "$needed_gib" ] || {
      echo "error: $cache has $free_gib GiB free, the environment needs $needed_gib; set PIXELREC_CACHE to a larger disk" >&2
      exit 1
    }
    echo "making the Python environment $env (once)" >&2
    python3 -m venv "$env"
    mkdir "$env/tmp"
    TMPDIR=$env/tmp "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@" >&2
    rm -rf "$env/tmp"
    touch "$env/.complete"
  fi
fi
echo "$env/bin/python"
