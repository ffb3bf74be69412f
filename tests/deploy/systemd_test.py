#!/usr/bin/env python3
"""The systemd units: systemd itself finds nothing to complain about, and they stay hardened.

Usage: systemd_test.py ROOT BIN_DIR
"""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT, BIN_DIR = Path(sys.argv.pop(1)).resolve(), Path(sys.argv.pop(1)).resolve()
UNITS = ROOT / "deploy/systemd"
# Exposure by `systemd-analyze security`, 0 (safe) to 10, x 10. An ordinary unit has 96.
MOST_EXPOSURE = {"pixelrec-coordinator.service": 15, "pixelrec-worker@.service": 20}


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze on this machine")
class SystemdTest(unittest.TestCase):
    def analyze(self, *arguments):
        result = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr

    def verify(self, unit, text):
        """Verifies a unit as it would be installed, with this build's program in place of the installed one."""
        with tempfile.TemporaryDirectory() as scratch:
            installed = Path(scratch, unit.replace("@.", "@0."))
            installed.write_text(text.replace("/usr/local/bin/", f"{BIN_DIR}/"))
            status, output = self.analyze("verify", "--man=no", "--recursive-errors=no", str(installed))
            return status, [line for line in output.splitlines() if "pixelrec" in line]

    def test_systemd_accepts_every_unit(self):
        for unit in MOST_EXPOSURE:
            with self.subTest(unit):
                self.assertEqual((0, []), self.verify(unit, (UNITS / unit).read_text()))

    def test_an_unknown_setting_is_caught(self):
        text = (UNITS / "pixelrec-coordinator.service").read_text().replace("NoNewPrivileges", "NoNewPrivilege")
        self.assertIn("NoNewPrivilege", "".join(self.verify("pixelrec-coordinator.service", text)[1]))

    def test_units_stay_hardened(self):
        for unit, most in MOST_EXPOSURE.items():
            with self.subTest(unit):
                status, output = self.analyze("security", "--offline=true", f"--threshold={most}", str(UNITS / unit))
                self.assertEqual(0, status, re.sub(r"(?m)^✓.*\n", "", output))

    def test_every_unit_is_tested(self):
        self.assertEqual(set(MOST_EXPOSURE), {file.name for file in UNITS.glob("*.service")})


if __name__ == "__main__":
    unittest.main()
