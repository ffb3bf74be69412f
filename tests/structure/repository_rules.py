#!/usr/bin/env python3
"""Rules about the repository's files: names, paths that pages mention, links, and what the front door calls.

Usage: repository_rules.py ROOT    prints one line per violation; exit code 1 if there is any.
"""

import re
import subprocess
import sys
from pathlib import Path

# A file is named after its one idea; these words name none.
IDEALESS = {"util", "utils", "helper", "helpers", "misc", "base", "manager", "managers", "stuff"}
# kustomize's own word for what its overlays build on.
IDEALESS_ALLOWED = {"deploy/kubernetes/base"}

# `configs/jobs/quickstart.yaml` in a page: a path from the repository's root that starts with one of its folders.
TOP_FOLDERS = "proto|common|coordinator|worker|ctl|configs|deploy|tests|docs|scripts|cmake"
MENTION = re.compile(rf"(?<![\w/.<-])((?:{TOP_FOLDERS})/[\w./-]*\w)(?!\w|[*{{<])")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
MAKE_SCRIPT = re.compile(r"^\t@?.*?(scripts/[\w.-]+)", re.MULTILINE)


def repository_files(root):
    """What git tracks or would track, as paths from the root."""
    listing = subprocess.run(["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True)
    return [path for path in listing.stdout.splitlines() if (root / path).is_file()]


def check_names(files):
    names = set(files) | {parent.as_posix() for path in files for parent in Path(path).parents}
    for path in sorted(names - {"."}):
        words = set(re.split(r"[_\-.]", Path(path).name.lower()))
        if words & IDEALESS and path not in IDEALESS_ALLOWED:
            yield f"{path}: is named {', '.join(sorted(words & IDEALESS))}; name it after its one idea"


def check_pages(root, files):
    """Every path a page mentions exists, and every relative link resolves. Made at run time: build/, results/."""
    for page in (path for path in files if path.endswith(".md")):
        text = (root / page).read_text(encoding="utf-8")
        for match in MENTION.finditer(text):
            if not (root / match.group(1)).exists() and not (root / page).parent.joinpath(match.group(1)).exists():
                yield f"{page}:{line_of(text, match)}: mentions {match.group(1)}, which does not exist"
        for match in LINK.finditer(text):
            if "://" not in match.group(1) and not match.group(1).startswith("mailto:") and not (root / page).parent.joinpath(match.group(1)).exists():
                yield f"{page}:{line_of(text, match)}: links to {match.group(1)}, which does not exist"


def check_front_door(root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for match in MAKE_SCRIPT.finditer(makefile):
        script = root / match.group(1)
        if not script.is_file() or not script.stat().st_mode & 0o100:
            yield f"Makefile:{line_of(makefile, match)}: runs {match.group(1)}, which is not there or not executable"


def line_of(text, match):
    return text.count("\n", 0, match.start(1)) + 1


def violations(root):
    files = repository_files(root)
    return [*check_names(files), *check_pages(root, files), *check_front_door(root)]


def main():
    found = violations(Path(sys.argv[1]).resolve())
    print("\n".join(found) if found else "names, pages and the front door follow the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
