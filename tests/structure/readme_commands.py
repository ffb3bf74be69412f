#!/usr/bin/env python3
"""Runs the commands that the README shows, so that it can't rot.

Usage: readme_commands.py ROOT BIN_DIR

A block fenced as ```sh test is run; a plain ```sh block is only shown. All blocks of one page run in order in one `bash -euo pipefail`
in a scratch copy of the repository whose build/bin holds the built programs; PIXELREC_SERVER names a port where nothing listens unless
a block starts something there. A page without such blocks passes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import repository_rules

BLOCK = re.compile(r"^```sh test\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def scratch_copy(root, bin_dir, scratch):
    for path in repository_rules.repository_files(root):
        target = scratch / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target)
    (scratch / "build").mkdir()
    (scratch / "build/bin").symlink_to(bin_dir)


def script_of(page):
    """The page's test blocks as one script that says, when a command fails, which line of the page it was."""
    text = page.read_text(encoding="utf-8")
    parts = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1)) + 1
        parts.append(f"block_line={line}\n{match.group(1)}")
    if not parts:
        return None
    trap = f"trap 'status=$?; [ $status -eq 0 ] || echo \"{page.name}: the block at line $block_line failed with exit code $status\" >&2' EXIT\n"
    return "set -euo pipefail\n" + trap + "\n".join(parts)


def run(script, folder, environment):
    """Its exit code. What a failed block left running in the background ends with it."""
    shell = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    code = shell.wait()
    try:
        os.killpg(shell.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    return code


def main():
    root, bin_dir = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    pages = [page for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if page.is_file()]
    failed = False
    for page in pages:
        script = script_of(page)
        if script is None:
            continue
        with tempfile.TemporaryDirectory(prefix="readme-") as scratch:
            scratch_copy(root, bin_dir, Path(scratch))
            environment = {**os.environ, "HOME": scratch}
            environment.setdefault("PIXELREC_SERVER", "127.0.0.1:1")
            code = run(script, scratch, environment)
            failed |= code != 0
            print(f"{page.name}: {'failed' if code else 'its commands work'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
