#!/usr/bin/env bash
# One job's adventures: the quickstart job, two of whose ranks are killed, and which another job of higher priority preempts in
# between. Prints its story; FOLDER/story.json is for scripts/timeline_picture.py.
# Takes about 6 minutes on 2 cores. Usage: scripts/timeline_demo.sh FOLDER    (holds state, results and nothing else)
set -euo pipefail
# shellcheck source=scripts/demo_cluster.sh
. "$(dirname "$0")/demo_cluster.sh"

say "pixelrecctl local up --workers 2"
"$ctl" local up --workers 2
say "pixelrecctl submit quickstart.yaml --set metadata.name=patient --set scheduling.priority=40 --set checkpoint.every_steps=25"
submit patient --set scheduling.priority=40 --set checkpoint.every_steps=25
await_step patient 60
kill_rank patient 1
await_step patient 120
say "pixelrecctl submit quickstart.yaml --set metadata.name=urgent --set scheduling.priority=90 --set train.num_train_epochs=1"
submit urgent --set scheduling.priority=90 --set train.num_train_epochs=1
"$ctl" watch urgent > /dev/null
await_step patient 310
kill_rank patient 0
"$ctl" watch patient > /dev/null
say "pixelrecctl explain patient"
"$ctl" explain patient
"$ctl" explain patient -o json > "$folder/story.json"
