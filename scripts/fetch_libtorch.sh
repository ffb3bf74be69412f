#!/usr/bin/env bash
# Brings LibTorch and the two small CUDA runtime wheels that libtorch_cpu.so needs to load into one cached folder.
# Usage: scripts/fetch_libtorch.sh [--print-dir]
# The folder is $PIXELREC_CACHE/libtorch-<version> (default ~/.cache/pixelrec); it is complete when it holds the file `.complete`.
set -euo pipefail

torch_version=2.11.0
wheels=("nvidia-cuda-runtime==13.0.96" "nvidia-cuda-cupti==13.0.85")

cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
target=$cache/libtorch-$torch_version
if [ "${1:-}" = --print-dir ]; then echo "$target"; exit 0; fi
[ -f "$target/.complete" ] && exit 0

mkdir -p "$cache"
exec 9> "$cache/libtorch.lock"        # two builds at once: the second waits, then finds the folder complete
flock 9
[ -f "$target/.complete" ] && exit 0

staging=$(mktemp -d "$cache/libtorch.XXXXXX")
trap 'rm -rf "$staging"' EXIT
echo "fetching LibTorch $torch_version (530 MB, once) into $target"
# The platform is named, so that the wheel does not depend on the Python of this machine; no Python is needed at run time.
platforms=()
for glibc in 28 27 25 24 17; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 "${platforms[@]}" --platform manylinux2014_x86_64 \
  --dest "$staging/wheels" "torch==$torch_version" "${wheels[@]}"

mkdir "$staging/tree"
for wheel in "$staging"/wheels/*.whl; do
  # Only what compiles and links: headers and shared libraries.
  unzip -q -o "$wheel" 'torch/include/*' 'torch/lib/*' 'nvidia/*' '*.dist-info/*' -d "$staging/tree" 2>/dev/null || [ $? -eq 11 ]
done
[ -f "$staging/tree/torch/lib/libtorch_cpu.so" ] || { echo "error: the torch wheel did not hold torch/lib/libtorch_cpu.so" >&2; exit 1; }
touch "$staging/tree/.complete"
rm -rf "$target"
mv "$staging/tree" "$target"
