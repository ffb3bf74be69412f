#!/usr/bin/env bash
# What can be held against a CUDA build without a GPU: that CUDA and NCCL are linked to the one library, that the library exports
# what the programs look up, and that the programs need none of CUDA's libraries to start.
# Usage: scripts/check_cuda_build.sh BUILD
set -euo pipefail

build=${1:?usage: scripts/check_cuda_build.sh BUILD}
library=$build/bin/libpixelrec_cuda.so
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
fail() { echo "error: $*" >&2; exit 1; }

for name in libtorch_cuda.so libc10_cuda.so libnccl.so.2; do
  needed "$library" | grep -x "$name" > /dev/null || fail "$library isn't linked to $name"
done
for symbol in PixelrecCudaLibrary PixelrecCudaLibraryVersion; do
  nm -D --defined-only "$library" | grep -w "$symbol" > /dev/null || fail "$library doesn't export $symbol"
done
nm -D --undefined-only -C "$library" | grep 'c10d::ProcessGroupNCCL::ProcessGroupNCCL' > /dev/null || fail "$library doesn't construct c10d's NCCL"
for program in "$build"/bin/pixelrec-* "$build"/bin/pixelrecctl; do
  if needed "$program" | grep -E 'cuda|nccl|cublas'; then fail "$program needs CUDA to start"; fi
  "$program" --help > /dev/null || fail "$program doesn't start"
done
echo "libpixelrec_cuda.so is linked to CUDA and NCCL; the programs start without them"
