#!/usr/bin/env python3
"""Holds every #include of the repository against the table of who may include whom.

Usage: include_rules.py ROOT       prints one line per violation; exit code 1 if there is any.

A file belongs to a room (its folder, or the program that it lies beside). A room may include itself, the rooms its row names, and nothing else.
Two more rules follow the includes through: LibTorch stays in its own rooms, and no file sees both LibTorch and generated protobuf,
because the LibTorch wheel carries its own, older google/protobuf headers.
"""

import re
import sys
from pathlib import Path

SOURCE_FOLDERS = ("common", "coordinator", "worker", "ctl")
COMMON = ("common/config", "common/rpc", "common/metrics", "common/storage", "common/process")
PROTO = "proto"

# Room -> rooms it may include besides itself. "common" stands for all of common/.
TABLE = {
    **{room: (PROTO, "common") for room in COMMON},
    # Pure: of common, only the names of refusals.
    "coordinator/state": (PROTO, "common/rpc/reasons.h"),
    "coordinator/journal": ("common",),
    # Metrics of jobs: beside the state, which knows nothing of it (docs/adr/0013).
    "coordinator/series": (PROTO, "common"),
    "coordinator/engine": (PROTO, "common", "coordinator/state", "coordinator/journal", "coordinator/series"),
    # The state for its read-only views; it never steps it.
    "coordinator/service": (PROTO, "common", "coordinator/engine", "coordinator/series", "coordinator/state"),
    "coordinator/main": (PROTO, "common", "coordinator/service", "coordinator/engine", "coordinator/journal", "coordinator/series", "coordinator/state"),
    "worker/channel": (PROTO, "common"),
    "worker/agent": (PROTO, "common", "worker/channel"),
    "worker/main": (PROTO, "common", "worker/agent"),
    "worker/tokenizer": ("common",),
    "worker/data": ("common", "worker/tokenizer"),
    "worker/model": ("common",),
    "worker/dist": ("common",),
    # The numbers of a language model, which config.json says and the model computes with, are one struct (docs/adr/0006).
    "worker/checkpoint": ("common", "worker/dist", "worker/model/description.h"),
    # Arithmetic about the others' memory; computes with none of them.
    "worker/plan": ("common", "worker/data", "worker/checkpoint", "worker/dist/unit_layout.h", "worker/model/description.h",
                    "worker/model/parts.h", "worker/model/segments.h"),
    "worker/eval": ("common", "worker/model", "worker/data", "worker/dist"),
    "worker/train": ("common", "worker/data", "worker/model", "worker/eval", "worker/checkpoint", "worker/dist"),
    # One-shot commands on a trained model (docs/adr/0004).
    "worker/tools": ("common", "worker/train", "worker/data", "worker/tokenizer", "worker/model", "worker/eval", "worker/checkpoint", "worker/dist",
                     "worker/plan"),
    # trainer_main.cc and the trainer_*.cc files beside it, which convert the plan and report over the channel. The role PREPARE
    # goes to worker/data directly, and asks the tokenizer whose fault an error is.
    "worker/trainer": (PROTO, "common", "worker/channel", "worker/train", "worker/tools", "worker/data", "worker/tokenizer"),
    "ctl": (PROTO, "common"),
}
TORCH_ROOMS = {"worker/model", "worker/dist", "worker/train", "worker/eval", "worker/checkpoint", "worker/tools", "worker/trainer"}

# Libraries with a room of their own: pattern -> (name, rooms that may see it).
GUARDED = {
    r"(torch|ATen|c10|gloo)/": ("LibTorch", TORCH_ROOMS),
    r"(grpc|grpcpp)/": ("gRPC", {"common/rpc", "coordinator/service", "coordinator/main", "worker/agent", "worker/main", "ctl"}),
    r"sqlite3\.h": ("SQLite", {"coordinator/journal", "coordinator/series"}),
    r"yaml-cpp/": ("yaml-cpp", {"common/config", "ctl"}),
    r"sentencepiece": ("SentencePiece", {"worker/tokenizer"}),
    r"csv\.h": ("libcsv", {"worker/data"}),
}
IMPURE = re.compile(r"(thread|mutex|condition_variable|future|atomic|fstream|iostream|filesystem|cstdio|ctime|unistd\.h|fcntl\.h)$|sys/|netinet/"
                    r"|absl/synchronization/|absl/time/clock\.h|sqlite3|grpc")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
TORCH_HEADER = re.compile(r"^(torch|ATen|c10|gloo)/")
PROTO_HEADER = re.compile(r"\.pb\.h$|^google/protobuf/")


def room_of(path):
    """'worker/data/csv.cc' -> 'worker/data'; None for a file outside the rooms."""
    parts = path.split("/")
    if parts[0] not in SOURCE_FOLDERS:
        return None
    if parts[0] == "ctl":
        return "ctl"
    if len(parts) == 2 and parts[0] in ("coordinator", "worker"):
        # Files beside a program's main file belong to that program.
        return "worker/trainer" if re.match(r"worker/trainer_", path) else f"{parts[0]}/main"
    return "/".join(parts[:2]) if len(parts) > 2 else path


def includes_of(file):
    """[(line number, header)] of one file."""
    text = file.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start(1)) + 1, match.group(2)) for match in INCLUDE.finditer(text)]


def source_files(root):
    return sorted(file.relative_to(root).as_posix() for folder in SOURCE_FOLDERS
                  for file in (root / folder).rglob("*") if file.suffix in (".h", ".cc", ".inc"))


def allowed(room, header):
    """May a file of `room` include this project header? A row's entry is a room, a single header, or "common"."""
    target = PROTO if header.startswith("pixelrec/") else room_of(header)
    return room == target or any(row in (target, header) or (row == "common" and target in COMMON) for row in TABLE[room])


def check_table(root, files):
    for path, includes in files.items():
        room = room_of(path)
        if room not in TABLE:
            yield f"{path}:1: lies in no room of the table; move it into one, or add the room to {Path(__file__).name} and the architecture page"
            continue
        for line, header in includes:
            if header.startswith(".") or "/../" in header:
                yield f"{path}:{line}: includes {header}; name headers from the repository's root"
            elif PROTO_HEADER.search(header) and PROTO not in TABLE[room]:
                yield f"{path}:{line}: {room} must not see generated protobuf ({header})"
            elif header.split("/")[0] in (*SOURCE_FOLDERS, "tests"):
                if header not in files and not (root / header.replace(".pb.h", ".proto")).is_file():
                    yield f"{path}:{line}: includes {header}, which does not exist"
                elif not allowed(room, header):
                    yield f"{path}:{line}: {room} must not include {room_of(header)} ({header})"
            else:
                for pattern, (what, rooms) in GUARDED.items():
                    if re.match(pattern, header) and room not in rooms:
                        yield f"{path}:{line}: {room} must not see {what} ({header})"
            if room == "coordinator/state" and IMPURE.match(header):
                yield f"{path}:{line}: {room} is pure: no clock, thread, file or socket ({header})"


def check_torch_apart_from_protobuf(files):
    """Follows includes through project headers, so that a header can't smuggle the other side in."""
    def seen(path, pattern, visited):
        visited.add(path)
        for _, header in files[path]:
            if pattern.search(header):
                return True
            if header in files and header not in visited and seen(header, pattern, visited):
                return True
        return False

    for path in files:
        if seen(path, TORCH_HEADER, set()) and seen(path, PROTO_HEADER, set()):
            yield f"{path}:1: sees both LibTorch and generated protobuf; convert in a file that sees no LibTorch"


def check_common_has_no_cycles(files):
    edges = {}
    for path, includes in files.items():
        for _, header in includes:
            source, target = room_of(path), room_of(header)
            if source != target and source in COMMON and target in COMMON:
                edges.setdefault(source, {}).setdefault(target, path)
    for source, targets in edges.items():
        for target, path in targets.items():
            if source in edges.get(target, {}) and source < target:
                yield f"{path}:1: {source} and {target} include each other ({edges[target][source]})"


def violations(root):
    files = {path: includes_of(root / path) for path in source_files(root)}
    return [*check_table(root, files), *check_torch_apart_from_protobuf(files), *check_common_has_no_cycles(files)]


def main():
    found = violations(Path(sys.argv[1]).resolve())
    print("\n".join(found) if found else "every include follows the table")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
