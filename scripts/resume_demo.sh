#!/usr/bin/env bash
# The quickstart job twice: once in peace on two workers; once with a rank killed, then, later, everything killed at once as a
# power cut would, and continued on three workers. Prints what happens; the two loss curves: scripts/loss_curve_picture.py.
# Takes about 12 minutes on 2 cores. Usage: scripts/resume_demo.sh FOLDER    (holds state, results and nothing else)
set -euo pipefail

# shellcheck source=scripts/demo_cluster.sh
. "$(dirname "$0")/demo_cluster.sh"
elastic=(--set checkpoint.every_steps=50 --set distributed.min_workers=1 --set distributed.max_workers=3)

say "pixelrecctl local up --workers 2"
"$ctl" local up --workers 2
say "pixelrecctl submit quickstart.yaml --set metadata.name=undisturbed --set distributed.min_workers=1 --set distributed.max_workers=3"
submit undisturbed "${elastic[@]}"
"$ctl" watch undisturbed > /dev/null
"$ctl" list

say "pixelrecctl submit quickstart.yaml --set metadata.name=killed ..."
submit killed "${elastic[@]}"
await_step killed 120
kill_rank killed 1
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
