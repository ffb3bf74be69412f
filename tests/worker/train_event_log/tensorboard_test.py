"""tensorboard_test.py LOGS: reads event_log_sample's files as TensorBoard does and compares every point with what was written."""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader


def expect(actual, expected, what):
    if actual != expected:
        sys.exit(f"{what}: expected {expected}, got {actual}")


def main():
    logs = Path(sys.argv[1])
    files = sorted(logs.glob("events.out.tfevents.*"))
    expect([file.name for file in files],
           ["events.out.tfevents.1700001000.a-host-with-odd-letters.1", "events.out.tfevents.1700002000.a-host-with-odd-letters.2"], "file names")

    # Every record's checksums are verified by the loader, which stops at a bad one: the count says that none was.
    first = list(EventFileLoader(str(files[0])).Load())
    expect(first[0].file_version, "brain.Event:2", "version record")
    expect(len(first), 2 + 1 + 4 * 2 + 1, "records of generation 1")
    expect(first[0].wall_time, 1700001000.5, "wall time")

    accumulator = event_accumulator.EventAccumulator(str(logs), size_guidance={event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    # Recent versions keep scalars as tensors of one number.
    def curve(tag):
        if tag in tags["scalars"]:
            return [(event.step, event.value) for event in accumulator.Scalars(tag)]
        return [(event.step, event.tensor_proto.float_val[0]) for event in accumulator.Tensors(tag)]

    # Steps 30 and 40 of generation 1 were lost and taken again: each step is there once.
    expect(curve("train/loss"), [(10, 110.25), (20, 120.25), (30, 230.25), (40, 240.25), (50, 250.25), (60, 260.25)], "train/loss")
    expect([step for step, _ in curve("train/learning_rate")], [10, 20, 30, 40, 50, 60], "train/learning_rate")
    expect(curve("validation/loss"), [(60, 3.5)], "validation/loss")
    text = accumulator.Tensors("job")[0]
    expect(text.tensor_proto.string_val[0].decode(), "# quickstart\n\n    learning_rate: 2e-3  # ü\n", "text")
    expect(accumulator.SummaryMetadata("job").plugin_data.plugin_name, "text", "plugin of the text")

    records = [json.loads(line) for line in (logs / "metrics.jsonl").read_text().splitlines()]
    expect([(r["generation"], r["step"], r["loss"]) for r in records],
           [(1, 10, 110.25), (1, 20, 120.25), (2, 30, 230.25), (2, 40, 240.25), (2, 50, 250.25), (2, 60, 260.25)], "metrics.jsonl")
    print("TensorBoard reads what was written")


if __name__ == "__main__":
    main()
