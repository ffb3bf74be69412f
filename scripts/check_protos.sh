#!/usr/bin/env bash
# buf lint over proto/. Usage: scripts/check_protos.sh [BUF_ARGUMENTS...]    (default: lint)
# buf comes from npm into a cached folder. Without npm the check is skipped, except under CI=true, where it must run.
set -euo pipefail
cd "$(dirname "$0")/../proto"

buf_version=1.75.0
cache=${PIXELREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pixelrec}/buf-$buf_version
buf=$cache/node_modules/.bin/buf

if [ ! -x "$buf" ]; then
  if ! command -v npm >/dev/null; then
    if [ "${CI:-}" = true ]; then
      echo "error: buf lint needs npm (Debian: apt-get install npm), and CI must not skip it" >&2
      exit 1
    fi
    echo "buf lint skipped: no npm on this machine"
    exit 0
  fi
  mkdir -p "$cache"
  npm install --silent --no-audit --no-fund --prefix "$cache" "@bufbuild/buf@$buf_version"
fi
[ $# -gt 0 ] || set -- lint
exec "$buf" "$@"
