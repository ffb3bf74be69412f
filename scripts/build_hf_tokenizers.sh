#!/usr/bin/env bash
# Builds worker/tokenizer/hf_tokenizers into a static library in a cached folder, once for all presets.
# Usage: scripts/build_hf_tokenizers.sh [--print-dir]
# The folder is $PIXELREC_CACHE/hf-tokenizers-<digest of the crate's files> (default ~/.cache/pixelrec); it is complete when it holds
# libhf_tokenizers.a. Nothing is fetched and no cargo is needed while it does. Compiled dependencies are kept beside it, by Cargo.lock.
set -euo pipefail

crate=$(dirname "$(dirname "$(realpath "$0")")")/worker/tokenizer/hf_tokenizers
cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}

digest_of() { (cd "$crate" && sha256sum "$@" | sha256sum | cut -c1-12); }
target=$cache/hf-tokenizers-$(digest_of Cargo.toml Cargo.lock src/lib.rs)
if [ "${1:-}" = --print-dir ]; then echo "$target"; exit 0; fi
[ -f "$target/libhf_tokenizers.a" ] && exit 0

mkdir -p "$cache"
exec 9> "$cache/hf-tokenizers.lock"   # two builds at once: the second waits, then finds the library
flock 9
[ -f "$target/libhf_tokenizers.a" ] && exit 0

cargo=$("$(dirname "$0")/find_cargo.sh")
dependencies=$cache/hf-tokenizers-target-$(digest_of Cargo.lock)
echo "building the Hugging Face tokenizers library (once) into $target"
# No flag of the C++ build reaches this one: a sanitizer preset links the same library.
env -u RUSTFLAGS -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$dependencies" PATH="$(dirname "$cargo"):$PATH" \
  "$cargo" build --quiet --release --locked --manifest-path "$crate/Cargo.toml"
staging=$(mktemp -d "$cache/hf-tokenizers.XXXXXX")
trap 'rm -rf "$staging"' EXIT
mkdir "$staging/lib"
cp "$dependencies/release/libhf_tokenizers.a" "$staging/lib/"
rm -rf "$target"
mv "$staging/lib" "$target"
