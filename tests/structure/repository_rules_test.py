#!/usr/bin/env python3
"""repository_rules.py must catch each kind of violation."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import repository_rules


class RepositoryRulesTest(unittest.TestCase):
    def violations(self, files):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["git", "init", "-q", root], check=True)
            for path, text in {"Makefile": "", **files}.items():
                file = Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return repository_rules.violations(Path(root))

    def assert_one(self, files, message):
        found = self.violations(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(message, found[0])

    def test_a_clean_tree_passes(self):
        self.assertEqual([], self.violations({
            "README.md": "Read `docs/map.md`, then [the map](docs/map.md#top) and <https://example.org/docs/x>. Output: results/docs/none.\n",
            "docs/map.md": "`worker/data/*.cc` and `worker/{a,b}` are patterns.\n", "worker/data/base64.cc": ""}))

    def test_names_without_an_idea(self):
        self.assert_one({"worker/data/string_utils.cc": ""}, "worker/data/string_utils.cc: is named utils")
        self.assert_one({"common/misc/x.cc": ""}, "common/misc: is named misc")

    def test_a_page_mentions_a_missing_file(self):
        self.assert_one({"README.md": "\nSee `configs/jobs/none.yaml`.\n"}, "README.md:2: mentions configs/jobs/none.yaml")

    def test_a_broken_link(self):
        self.assert_one({"docs/map.md": "[gone](gone.md)"}, "docs/map.md:1: links to gone.md")

    def test_the_front_door_calls_a_missing_script(self):
        self.assert_one({"Makefile": "all:\n\tscripts/none.sh --fast\n"}, "Makefile:2: runs scripts/none.sh")


if __name__ == "__main__":
    unittest.main()
