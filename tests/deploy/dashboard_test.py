#!/usr/bin/env python3
"""Every query of every dashboard returns finite data from the real Prometheus while a real job trains, loses a rank and recovers.

Usage: scripts/test_env.sh tests/deploy/dashboard_test.py ROOT BIN_DIR
"""

import json
import math
import sys
import tempfile
import time
import unittest
from pathlib import Path

import cluster
import dashboard
import prometheus_server

ROOT, BIN_DIR = Path(sys.argv.pop(1)).resolve(), Path(sys.argv.pop(1)).resolve()
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}
LONGEST_JOB = 240  # seconds

JOB = """
apiVersion: pixelrec/v1
kind: TrainingJob
metadata: {{name: dashboard}}
spec:
  data: {{interaction_data: {interactions}, text_data: {items}, text_keys: [title, tag], item_prompt: "", max_seq_length: 11, max_text_length: 24}}
  model: {{item_model_dir: {model}, user_model_dir: {model}, gradient_checkpointing: false}}
  train: {{global_batch_size: 16, num_train_epochs: 3, learning_rate: 1.0e-3, logging_steps: 1}}
  distributed: {{workers: 2}}
  output_dir: {output}
"""


class DashboardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """One run for all tests: a job on two ranks, one of which is killed after the first checkpoint."""
        cls.scratch = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="dashboard-")))
        cls.cluster = cls.enterClassContext(cluster.running(BIN_DIR, cls.scratch, workers=2))
        targets = {"pixelrec-coordinator": [cls.cluster.coordinator["metrics"]], "pixelrec-worker": [worker["metrics"] for worker in cls.cluster.workers]}
        cls.prometheus = cls.enterClassContext(prometheus_server.running(ROOT / "deploy/prometheus/prometheus.yml", targets, cls.scratch, "500ms"))
        cls.prometheus.wait_until_up(3, time.monotonic() + 20)
        cls.start = time.time()
        cls.job = cls.train_with_one_kill()
        cls.end = time.time()

    @classmethod
    def train_with_one_kill(cls):
        interactions, items = cluster.small_data(ROOT / "deploy/quickstart/movietweetings-100k", cls.scratch, users=400)
        spec = cls.scratch / "job.yaml"
        spec.write_text(JOB.format(interactions=interactions, items=items, model=ROOT / "deploy/quickstart/stories260k", output=cls.scratch / "output"))
        job_id = cls.cluster.ctl("submit", str(spec))["job_id"]
        deadline, killed = time.monotonic() + LONGEST_JOB, False
        while time.monotonic() < deadline:
            job = cls.cluster.ctl("describe", job_id)
            if job["state"] in ENDED:
                return job
            if not killed and (cls.scratch / "output/checkpoint-epoch-1").exists():
                cls.cluster.kill_a_trainer()
                killed = True
            time.sleep(0.5)
        raise TimeoutError(f"the job is {json.dumps(job)} after {LONGEST_JOB} s")

    def values(self):
        return {"job": ".+", "instance": ".+", "rank": ".+", "job_id": self.job["job_id"], "__rate_interval": "3s"}

    def test_the_job_recovered_and_succeeded(self):
        self.assertEqual("JOB_STATE_SUCCEEDED", self.job["state"], self.job)

    def test_every_query_returns_finite_data(self):
        for path in DASHBOARDS:
            for name, expression in dashboard.queries(dashboard.load(path)):
                with self.subTest(dashboard=path.name, query=name):
                    series = self.prometheus.range(dashboard.substitute(expression, self.values()), self.start, self.end, "1s")
                    self.assertTrue(series, f"no data: {expression}")
                    for labels, values in series:
                        self.assertTrue(any(map(math.isfinite, values)), f"nothing finite in {labels}")

    def test_every_variable_has_values(self):
        for path in DASHBOARDS:
            for name, selector, label in dashboard.variables(dashboard.load(path)):
                with self.subTest(dashboard=path.name, variable=name):
                    values = self.prometheus.label_values(dashboard.substitute(selector, self.values()), label)
                    self.assertTrue(values)
                    if name == "rank":
                        self.assertEqual(["0", "1"], values)


if __name__ == "__main__":
    unittest.main()
