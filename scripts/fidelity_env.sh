#!/usr/bin/env bash
# The Python environment with torch and transformers that the product is compared with: 5 GB. No part of `make test`.
# Usage: scripts/fidelity_env.sh     prints the path of its python
set -euo pipefail

# 12 GiB: 5 stay, the rest is for the wheels while they are unpacked.
exec "$(dirname "$0")/python_env.sh" fidelity 12 \
  "torch==2.11.0" "transformers==5.24.0" "safetensors==0.8.0" "sentencepiece==0.2.3" "numpy==2.4.6"
