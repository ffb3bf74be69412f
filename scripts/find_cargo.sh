#!/usr/bin/env bash
# Prints the path of a cargo that can build worker/tokenizer/hf_tokenizers: 1.85 or newer, from PATH (rustup), or Debian's cargo-web.
# Usage: scripts/find_cargo.sh      exit 1: there is none
set -euo pipefail

oldest=1.85
for cargo in "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
  [ -x "$cargo" ] || continue
  # A rustup without a toolchain is a cargo that only fails.
  version=$("$cargo" --version 2>/dev/null | awk '{ print $2 }') || continue
  [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -1)" = "$oldest" ] || continue
  echo "$cargo"
  exit 0
done
echo "error: no cargo $oldest or newer: run scripts/install_packages.sh rust (Debian's cargo-web), or install one with rustup" >&2
exit 1
