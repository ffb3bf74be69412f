#!/usr/bin/env bash
# Lists the Rust crates that worker/tokenizer/hf_tokenizers links, with their licences, as NOTICE names them.
# Usage: scripts/crate_licences.sh     one line a crate: name, version, licence; needs the crates in cargo's cache (a build fetches them)
set -euo pipefail

root=$(dirname "$(dirname "$(realpath "$0")")")
"$("$root/scripts/find_cargo.sh")" tree --quiet --locked --manifest-path "$root/worker/tokenizer/hf_tokenizers/Cargo.toml" \
  --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
  sed -E 's/ \(\*\)$//; s/ \([^|]*\)\|/|/; s/ v/|/' | sort -u | grep -v '^hf_tokenizers' |
  awk -F'|' '{ printf "   %-24s %-12s %s\n", $1, $2, $3 }'
