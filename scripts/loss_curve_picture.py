#!/usr/bin/env python3
"""Draws the training loss of two runs over each other from their logs/metrics.jsonl, and prints how far they differ.

Usage: loss_curve_picture.py UNDISTURBED_OUTPUT_DIR DISTURBED_OUTPUT_DIR PICTURE.svg
Needs matplotlib: "$(scripts/python_env.sh pictures 1 matplotlib==3.11.2)" scripts/loss_curve_picture.py ...
"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "pixelrec"  # equal input, equal bytes
from matplotlib import pyplot  # noqa: E402


def steps(output_dir):
    """[(step, loss, generation)] in the order of steps."""
    records = []
    for line in (Path(output_dir) / "logs" / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["section"] == "train" and record.get("loss") is not None:
            records.append((record["step"], record["loss"], record["generation"]))
    return sorted(records)


def main(undisturbed_dir, disturbed_dir, picture):
    undisturbed, disturbed = steps(undisturbed_dir), steps(disturbed_dir)
    if not undisturbed or [s for s, _, _ in undisturbed] != [s for s, _, _ in disturbed]:
        sys.exit("error: the two runs don't hold the same steps")
    figure, axes = pyplot.subplots(figsize=(9, 4))
    axes.plot([s for s, _, _ in undisturbed], [loss for _, loss, _ in undisturbed], color="0.75", linewidth=5, label="undisturbed")
    for generation in sorted({g for _, _, g in disturbed}):
        part = [(s, loss) for s, loss, g in disturbed if g == generation]
        axes.plot([s for s, _ in part], [loss for _, loss in part], linewidth=1.3, label=f"killed: generation {generation}")
        if part[0][0] > disturbed[0][0]:
            axes.axvline(part[0][0], color="0.5", linestyle=":", linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})
    for generation in sorted({g for _, _, g in disturbed}):
        pairs = [(a, b) for (_, a, _), (_, b, g) in zip(undisturbed, disturbed) if g == generation]
        worst = max(abs(b / a - 1) for a, b in pairs)
        print(f"generation {generation}: {len(pairs)} logged steps, losses differ by at most {worst:.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
