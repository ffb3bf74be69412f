#!/usr/bin/env bash
# Brings LibTorch and the two small CUDA runtime wheels that libtorch_cpu.so needs to load into one cached folder; and, if asked,
# what a CUDA build compiles with, or what it runs with.
# Usage: scripts/fetch_libtorch.sh [--print-dir | --cuda-headers | --cuda]
#   --cuda-headers  also the CUDA headers and NCCL: enough to compile and link, on a machine without a GPU
#   --cuda          also every library that libtorch_cuda.so loads, but the driver: what a machine with GPUs needs
# The folder is $PIXELREC_CACHE/libtorch-<version> (default ~/.cache/pixelrec); it is complete when it holds the file `.complete`,
# and for the options `.complete-cuda-headers` and `.complete-cuda`.
set -euo pipefail

torch_version=2.11.0
base_wheels=("torch==$torch_version" "nvidia-cuda-runtime==13.0.96" "nvidia-cuda-cupti==13.0.85")
# What torch $torch_version was built against; other versions of these have other headers.
header_wheels=("nvidia-nccl-cu13==2.28.9" "nvidia-cuda-crt==13.0.88" "nvidia-cuda-cccl==13.0.85" "nvidia-cublas==13.1.0.3" "nvidia-cusparse==12.6.3.3"
               "nvidia-cusolver==12.0.4.66")
library_wheels=("${header_wheels[@]}" "nvidia-cudnn-cu13==9.19.0.56" "nvidia-cufft==12.0.0.61" "nvidia-cufile==1.15.1.6"
                "nvidia-curand==10.4.0.35" "nvidia-cusparselt-cu13==0.8.0" "nvidia-nvjitlink==13.0.88" "nvidia-nvshmem-cu13==3.4.5"
                "nvidia-cuda-nvrtc==13.0.88")

cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}
target=$cache/libtorch-$torch_version
mode=${1:-}
case $mode in
  --print-dir) echo "$target"; exit 0 ;;
  "" | --cuda-headers | --cuda) ;;
  *) echo "error: unknown option $mode; see the head of $0" >&2; exit 2 ;;
esac

complete() { [ -f "$target/.complete$1" ]; }
have_all() { complete "" && { [ -z "$mode" ] || complete "${mode/--/-}" || complete -cuda; }; }
have_all && exit 0

mkdir -p "$cache"
exec 9> "$cache/libtorch.lock"        # two builds at once: the second waits, then finds the folder complete
flock 9
have_all && exit 0

staging=$(mktemp -d "$cache/libtorch.XXXXXX")
trap 'rm -rf "$staging"' EXIT

# unpack GLOBS -- WHEELS: only what compiles, links and loads, into $staging/tree.
unpack() {
  local globs=()
  while [ "$1" != -- ]; do globs+=("$1"); shift; done
  shift
  rm -rf "$staging/wheels" "$staging/tree"
  mkdir "$staging/tree"
  # The platform is named, so that the wheel does not depend on the Python of this machine; no Python is needed at run time.
  local platforms=()
  for glibc in 28 27 25 24 18 17; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 "${platforms[@]}" --platform manylinux2014_x86_64 \
    --dest "$staging/wheels" "$@"
  for wheel in "$staging"/wheels/*.whl; do
    unzip -q -o "$wheel" "${globs[@]}" '*.dist-info/*' -d "$staging/tree" 2>/dev/null || [ $? -eq 11 ]
  done
  rm -rf "$staging/wheels"
}

if ! complete ""; then
  echo "fetching LibTorch $torch_version (530 MB, once) into $target"
  unpack 'torch/include/*' 'torch/lib/*' 'nvidia/*' -- "${base_wheels[@]}"
  [ -f "$staging/tree/torch/lib/libtorch_cpu.so" ] || { echo "error: the torch wheel did not hold torch/lib/libtorch_cpu.so" >&2; exit 1; }
  touch "$staging/tree/.complete"
  rm -rf "$target"
  mv "$staging/tree" "$target"
fi

case $mode in
  --cuda-headers)
    echo "fetching the CUDA headers and NCCL (970 MB, once; 250 MB are kept) into $target"
    unpack 'nvidia/*/include/*' 'nvidia/nccl/lib/*' -- "${header_wheels[@]}"
    [ -f "$staging/tree/nvidia/nccl/include/nccl.h" ] || { echo "error: the NCCL wheel did not hold nvidia/nccl/include/nccl.h" >&2; exit 1; } ;;
  --cuda)
    echo "fetching CUDA's libraries (1.9 GB, once) into $target"
    unpack 'nvidia/*' -- "${library_wheels[@]}"
    [ -f "$staging/tree/nvidia/cudnn/lib/libcudnn.so.9" ] || { echo "error: the cuDNN wheel did not hold libcudnn.so.9" >&2; exit 1; } ;;
esac
if [ -n "$mode" ]; then
  cp -a "$staging/tree/." "$target/"
  touch "$target/.complete${mode/--/-}"
fi
