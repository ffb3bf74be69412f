#!/usr/bin/env python3
"""Dashboards follow the rules, name only metrics that exist, and Prometheus accepts its own files. Usage: dashboard_rules_test.py ROOT"""

import copy
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import dashboard

ROOT = Path(sys.argv.pop(1)).resolve()
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
CATALOGUE = set(re.findall(r'"(pixelrec_\w+)"', (ROOT / "common/metrics/catalogue.cc").read_text()))


class DashboardRulesTest(unittest.TestCase):
    def test_every_dashboard_follows_the_rules(self):
        self.assertTrue(DASHBOARDS)
        for path in DASHBOARDS:
            with self.subTest(path.name):
                self.assertEqual([], list(dashboard.problems(dashboard.load(path), CATALOGUE)))

    def test_broken_dashboards_are_caught(self):
        def first(board):
            return dashboard.panels(board)[0]
        breaks = {
            "is editable": lambda board: board.update(editable=True),
            "which no program has": lambda board: first(board)["targets"][0].update(expr="pixelrec_nothing"),
            "has no description": lambda board: first(board).pop("description"),
            "has no unit": lambda board: first(board)["fieldConfig"]["defaults"].pop("unit"),
            "has a fixed range": lambda board: first(board)["targets"][0].update(expr="rate(pixelrec_samples_total[1m])"),
            "overlap": lambda board: first(board)["gridPos"].update(w=24),
            "a data source of its own": lambda board: first(board)["datasource"].update(uid="mine"),
            "has two panels with one id": lambda board: first(board).update(id=1),
        }
        for message, damage in breaks.items():
            with self.subTest(message):
                board = copy.deepcopy(dashboard.load(DASHBOARDS[0]))
                damage(board)
                self.assertTrue(any(message in problem for problem in dashboard.problems(board, CATALOGUE)))

    def test_variables_are_put_in_by_whole_names(self):
        self.assertEqual('x{job=~"a", job_id="b"}[5s]', dashboard.substitute('x{job=~"$job", job_id="${job_id}"}[$__rate_interval]',
                                                                             {"job": "a", "job_id": "b", "__rate_interval": "5s"}))

    @unittest.skipUnless(shutil.which("promtool"), "no promtool on this machine")
    def test_prometheus_accepts_the_scrape_file(self):
        result = subprocess.run(["promtool", "check", "config", ROOT / "deploy/prometheus/prometheus.yml"], capture_output=True, text=True, check=False)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main()
