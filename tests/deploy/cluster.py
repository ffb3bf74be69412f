"""A coordinator and workers as real processes on free ports of loopback, for tests that look at a whole deployment."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path


class Cluster:
    def __init__(self, bin_dir, scratch, workers):
        self.bin_dir, self.scratch, self.processes = bin_dir, scratch, []
        self.coordinator = self._start("pixelrec-coordinator", "coordinator", "--listen", "127.0.0.1:0", "--state-dir", scratch / "state")
        self.workers = [self._start("pixelrec-worker", f"worker-{i}", "--coordinator", self.coordinator["grpc"], "--worker-id", f"worker-{i}", "--threads", "1",
                                    "--work-dir", scratch / f"worker-{i}", "--dataset-cache-dir", scratch / "datasets") for i in range(workers)]

    def _start(self, program, name, *flags):
        ready, log = self.scratch / f"{name}.ready", self.scratch / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen([self.bin_dir / program, "--metrics-listen", "127.0.0.1:0", "--ready-file", ready, *flags], stdout=output, stderr=output)
        self.processes.append(process)
        deadline = time.monotonic() + 20
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        return json.loads(ready.read_text())

    def ctl(self, *arguments, check=True):
        """pixelrecctl's JSON answer."""
        command = [self.bin_dir / "pixelrecctl", "--server", self.coordinator["grpc"], *arguments, "-o", "json"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
        return json.loads(result.stdout) if result.stdout.strip() else None

    def trainer_pids(self):
        """Trainers, as children of the workers."""
        found = []
        for worker in self.workers:
            children = Path(f"/proc/{worker['pid']}/task").glob("*/children")
            found += [int(pid) for file in children for pid in file.read_text().split()]
        return found

    def kill_a_trainer(self):
        os.kill(self.trainer_pids()[-1], signal.SIGKILL)

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def running(bin_dir, scratch, workers):
    cluster = None
    try:
        cluster = Cluster(bin_dir, scratch, workers)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()


def small_data(source, target, users):
    """The first users of MovieTweetings with the items they saw. Returns the two files' paths."""
    with (source / "interactions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = set(list(dict.fromkeys(row["user_id"] for row in rows))[:users])
    rows = [row for row in rows if row["user_id"] in kept]
    seen = {row["item_id"] for row in rows}
    with (source / "items.csv").open(newline="") as file:
        items = [row for row in csv.DictReader(file) if row["item_id"] in seen]
    for name, content in {"interactions.csv": rows, "items.csv": items}.items():
        with (target / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=content[0].keys())
            writer.writeheader()
            writer.writerows(content)
    return target / "interactions.csv", target / "items.csv"
