#!/usr/bin/env bash
# Every C++ file of the repository as clang-format would write it. Usage: scripts/check_format.sh [--fix]
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v clang-format >/dev/null; then
  echo "error: clang-format is not installed: run scripts/install_packages.sh test" >&2
  exit 1
fi
mode=(--dry-run --Werror)
[ "${1:-}" = --fix ] && mode=(-i)

# Tracked files and new ones that git doesn't ignore; a deleted one is still in the index.
git ls-files -z --cached --others --exclude-standard -- '*.cc' '*.h' |
  while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done |
  xargs -0 --no-run-if-empty -n 40 -P "$(nproc)" clang-format "${mode[@]}"
