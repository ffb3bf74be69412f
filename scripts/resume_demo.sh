#!/usr/bin/env bash
# The quickstart job twice: once in peace on two workers; once with a rank killed, then, later, everything killed at once as a
# power cut would, and continued on three workers. Prints what happens; the two loss curves: scripts/loss_curve_picture.py.
# Takes about 12 minutes on 2 cores. Usage: scripts/resume_demo.sh FOLDER    (holds state, results and nothing else)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
ctl=$root/build/bin/pixelrecctl
folder=${1:?usage: scripts/resume_demo.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[ -z "$(ls -A "$folder")" ] || { echo "error: $folder isn't empty" >&2; exit 1; }
export XDG_STATE_HOME=$folder/state
unset PIXELREC_SERVER

trap '"$ctl" local down > /dev/null 2>&1 || true' EXIT

# The words of a command, then its output.
say() { printf '\n$ %s\n' "$*"; }
field() { "$ctl" describe "$1" -o json | python3 -c "import json, sys; job = json.load(sys.stdin); print($2)"; }
await_step() {
  until [ "$(field "$1" "job.get('state') == 'JOB_STATE_RUNNING' and int(job.get('progress', {}).get('step', 0)) >= $2")" = True ]; do
    sleep 0.2  # a demonstration may wait
  done
}
submit() {
  "$ctl" submit "$root/configs/jobs/quickstart.yaml" --set metadata.name="$1" --set output_dir="$folder/$1" \
    --set checkpoint.every_steps=50 --set distributed.min_workers=1 --set distributed.max_workers=3
}

say "pixelrecctl local up --workers 2"
"$ctl" local up --workers 2
say "pixelrecctl submit quickstart.yaml --set metadata.name=undisturbed --set distributed.min_workers=1 --set distributed.max_workers=3"
submit undisturbed
"$ctl" watch undisturbed > /dev/null
"$ctl" list

say "pixelrecctl submit quickstart.yaml --set metadata.name=killed ..."
submit killed
await_step killed 120
pid=$(field killed "job['ranks'][1]['pid']")
say "kill -9 $pid    # rank 1, at step $(field killed "job['progress']['step']")"
kill -9 "$pid"
await_step killed 280
say "kill -9 the supervisor, the coordinator, both workers and both ranks    # at step $(field killed "job['progress']['step']")"
# Everything that runs out of this state folder: daemons carry its path on their command lines, ranks are their children.
pids=$(pgrep -f "$folder/state" | tr '\n' ' ')
# shellcheck disable=SC2086
kill -9 $pids
say "pixelrecctl local up --workers 3"
"$ctl" local up --workers 3
"$ctl" watch killed > /dev/null
say "pixelrecctl events killed"
"$ctl" events killed
say "pixelrecctl list"
"$ctl" list
say "pixelrecctl audit killed"
"$ctl" audit killed
