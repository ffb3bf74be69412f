#!/usr/bin/env python3
"""Draws what became of a job's time from `pixelrecctl explain JOB -o json`.

Usage: pixelrecctl explain JOB -o json | timeline_picture.py PICTURE.svg
Needs matplotlib: "$(scripts/python_env.sh pictures 1 matplotlib==3.11.2)" scripts/timeline_picture.py ...
"""
import json
import sys
from datetime import datetime

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "pixelrec"  # equal input, equal bytes
from matplotlib import pyplot  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

COLOURS = {
    "waiting": "0.85", "paused": "0.7", "prepare": "#b39ddb", "start": "#90caf9", "data": "#26a69a", "compute": "#66bb6a",
    "checkpoint": "#8d6e63", "lost_work": "#ef5350", "restart": "#ffa726",
}  # fmt: skip


def instant(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()


def main(picture):
    story = json.load(sys.stdin)
    spans, failures = story["spans"], story["failures"]
    if not spans:
        sys.exit("error: the job has no history")
    start = instant(spans[0]["from"])
    figure, axes = pyplot.subplots(figsize=(10, 2.6))
    widest = max(span["ranks"] for span in spans) or 1
    for span in spans:
        ranks = span["ranks"] or widest
        axes.barh(0, span["seconds"], left=instant(span["from"]) - start, height=ranks, align="edge", color=COLOURS[span["bucket"]])
        # They are spread over the span; what they add up to is drawn at its end.
        end = instant(span["from"]) - start + span["seconds"]
        for stall in ("data", "checkpoint"):
            end -= span[f"{stall}_seconds"]
            axes.barh(0, span[f"{stall}_seconds"], left=end, height=ranks, align="edge", color=COLOURS[stall])
        if span["bucket"] == "compute" and span["seconds"] > 0.09 * story["seconds"]:
            label = f"generation {span['generation']}\nsteps {span['first_step']}-{span['last_step']}"
            axes.text(instant(span["from"]) - start + span["seconds"] / 2, ranks / 2, label, ha="center", va="center", fontsize=8)
        if span["bucket"] == "waiting" and span["seconds"] > 0.15 * story["seconds"]:
            middle = instant(span["from"]) - start + span["seconds"] / 2
            axes.text(middle, ranks / 2, span["what"].replace("; ", "\n"), ha="center", va="center", fontsize=8)
    for failure in failures:
        at = instant(failure["time"]) - start
        axes.annotate(failure["cause"], (at, widest), (at, widest * 1.12), ha="center", fontsize=8, arrowprops={"arrowstyle": "->"})
    axes.set_ylim(0, widest * 1.35)
    axes.set_yticks(range(widest + 1))
    axes.set_ylabel("ranks")
    axes.set_xlabel("seconds since submission")
    axes.set_title(f"{story['job_id']}: goodput {100 * story['goodput']:.1f} %", fontsize=10)
    used = [bucket for bucket, seconds in story["ledger_seconds"].items() if seconds > 0]
    patches = [Patch(color=COLOURS[bucket]) for bucket in used]
    axes.legend(patches, used, ncols=len(used), loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=8, frameon=False)
    figure.savefig(picture, metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
