#!/usr/bin/env bash
# The Python environment with torch and transformers that the product is compared with: 5 GB, made once, cached. No part of `make test`.
# Usage: scripts/fidelity_env.sh     makes it if need be and prints the path of its python; safe to call twice at once.
set -euo pipefail

packages=("torch==2.11.0" "transformers==5.24.0" "safetensors==0.8.0" "sentencepiece==0.2.3" "numpy==2.4.6")
needed_gib=12                        # 5 GiB stay; the rest is for the wheels while they are unpacked

cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
key=$(printf '%s\n' "${packages[@]}" "$(python3 --version)" | sha256sum | cut -c1-12)
env=$cache/fidelity-env-$key

if [ ! -f "$env/.complete" ]; then
  mkdir -p "$cache"
  exec 9> "$cache/fidelity-env.lock"
  flock 9
  if [ ! -f "$env/.complete" ]; then
    rm -rf "$env"
    free_gib=$(df --output=avail -BG "$cache" | tail -1 | tr -dc 0-9)
    [ "$free_gib" -ge "$needed_gib" ] || { echo "error: $cache has $free_gib GiB free, the environment needs $needed_gib; set PIXELREC_CACHE to a larger disk" >&2; exit 1; }
    echo "making the environment with torch and transformers in $env (5 GB, once)" >&2
    python3 -m venv "$env"
    mkdir "$env/tmp"
    TMPDIR=$env/tmp "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "${packages[@]}" >&2
    rm -rf "$env/tmp"
    touch "$env/.complete"
  fi
fi
echo "$env/bin/python"
