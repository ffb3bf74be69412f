#!/usr/bin/env bash
# Trains the quickstart job with the programs in build/bin: a local cluster, the job with its progress, recommendations for three users.
# Stops what it started, also when interrupted. A local cluster that is running already is used and left alone.
# Usage: scripts/quickstart.sh [further arguments of `pixelrecctl submit`, such as --set train.seed=1]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
ctl=$root/build/bin/pixelrecctl
for program in pixelrecctl pixelrec-coordinator pixelrec-worker pixelrec-trainer; do
  [ -x "$root/build/bin/$program" ] || { echo "error: build/bin/$program is missing; run make build" >&2; exit 1; }
done

started=false
submitted=false
stop() {
  status=$?
  trap - EXIT INT TERM
  # A job that was left half way would go on when the cluster is next started.
  if $submitted && [ "$status" -ne 0 ]; then "$ctl" cancel quickstart --now > /dev/null 2>&1 || true; fi
  if $started; then "$ctl" local down || true; fi
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

unset PIXELREC_SERVER
if ! "$ctl" local status > /dev/null 2>&1; then
  started=true
  "$ctl" local up --workers 2
fi

submitted=true
"$ctl" submit "$root/configs/jobs/quickstart.yaml" --follow "$@"

echo
echo "Recommendations for three users:"
"$ctl" recommend --job quickstart --sample-users 3 -k 5
