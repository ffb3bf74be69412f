# Sourced by the demonstrations: a local cluster of their own in FOLDER, stopped at the end; the quickstart job on it.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ctl=$root/build/bin/pixelrecctl
folder=${1:?usage: $0 FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[ -z "$(ls -A "$folder")" ] || { echo "error: $folder isn't empty" >&2; exit 1; }
export XDG_STATE_HOME=$folder/state
unset PIXELREC_SERVER
trap '"$ctl" local down > /dev/null 2>&1 || true' EXIT

say() { printf '\n$ %s\n' "$*"; }
field() { "$ctl" describe "$1" -o json | python3 -c "import json, sys; job = json.load(sys.stdin); print($2)"; }
await_step() {
  until [ "$(field "$1" "job.get('state') == 'JOB_STATE_RUNNING' and int(job.get('progress', {}).get('step', 0)) >= $2")" = True ]; do
    sleep 0.2  # a demonstration may wait
  done
}
# Job NAME, with the --set options that follow.
submit() {
  "$ctl" submit "$root/configs/jobs/quickstart.yaml" --set metadata.name="$1" --set output_dir="$folder/$1" "${@:2}"
}
kill_rank() {
  local pid
  pid=$(field "$1" "job['ranks'][$2]['pid']")
  say "kill -9 $pid    # rank $2 of $1, at step $(field "$1" "job['progress']['step']")"
  kill -9 "$pid"
}
