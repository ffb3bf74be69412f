#!/usr/bin/env python3
"""What deploy/ tells the programs is what they understand: flags exist, configuration files load, the image holds their libraries.

Usage: scripts/test_env.sh tests/deploy/programs_test.py ROOT BIN_DIR
"""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import yaml

import manifests

ROOT, BIN_DIR = Path(sys.argv.pop(1)).resolve(), Path(sys.argv.pop(1)).resolve()
PROGRAMS = ("pixelrec-coordinator", "pixelrec-worker", "pixelrec-trainer", "pixelrecctl")


def unit_commands():
    for unit in sorted((ROOT / "deploy/systemd").glob("*.service")):
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart="):
                yield unit.name, shlex.split(line.removeprefix("ExecStart="))


def pod_commands():
    for document in manifests.render(ROOT / "deploy/kubernetes/base"):
        for pod in manifests.pod_specs(document):
            for container in manifests.containers(pod):
                yield f"{document['kind']} {document['metadata']['name']}", container["command"] + container["args"]


def flags_of(program):
    help_text = subprocess.run([BIN_DIR / program, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"--[a-z][a-z-]*", help_text))


class ProgramsTest(unittest.TestCase):
    def test_every_flag_in_units_and_manifests_exists(self):
        commands = [*unit_commands(), *pod_commands()]
        self.assertEqual(4, len(commands))
        for where, command in commands:
            program = Path(command[0]).name
            self.assertIn(program, PROGRAMS)
            unknown = {argument for argument in command[1:] if argument.startswith("--")} - flags_of(program)
            self.assertFalse(unknown, f"{where}: {program} has no flag {', '.join(sorted(unknown))}")

    def start(self, program, config, scratch, *flags):
        """Starts a daemon on free ports with a file of deploy/ as its configuration, waits until it serves, stops it by SIGTERM."""
        ready = Path(scratch, f"{program}.ready")
        command = [BIN_DIR / program, "--config", config, "--metrics-listen", "127.0.0.1:0", "--ready-file", ready, *flags]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 20
            while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            served = json.loads(ready.read_text()) if ready.exists() else None
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
        self.assertIsNotNone(served, f"{program} did not start with {config}: {errors}")
        self.assertEqual(0, process.returncode, errors)
        return served

    def test_daemons_start_with_the_files_of_the_kubernetes_base(self):
        config = ROOT / "deploy/kubernetes/base/config"
        with tempfile.TemporaryDirectory() as scratch:
            self.start("pixelrec-coordinator", config / "coordinator.yaml", scratch, "--listen", "127.0.0.1:0", "--state-dir", f"{scratch}/state")
            self.start("pixelrec-worker", config / "worker.yaml", scratch, "--coordinator", "127.0.0.1:1", "--work-dir", f"{scratch}/work",
                       "--dataset-cache-dir", f"{scratch}/cache", "--worker-id", "pod-0", "--trainer", str(BIN_DIR / "pixelrec-trainer"))

    def test_the_ports_of_files_and_manifests_agree(self):
        documents = manifests.render(ROOT / "deploy/kubernetes/base")
        for name, keys in {"coordinator": {"grpc": "listen", "metrics": "metrics_listen"}, "worker": {"metrics": "metrics_listen"}}.items():
            config = yaml.safe_load((ROOT / f"deploy/kubernetes/base/config/{name}.yaml").read_text())
            stateful_set = next(d for d in documents if d["kind"] == "StatefulSet" and d["metadata"]["name"] == f"pixelrec-{name}")
            ports = {port["name"]: port["containerPort"] for port in manifests.pod_specs(stateful_set)[0]["containers"][0]["ports"]}
            self.assertEqual(ports, {port: int(config[key].rsplit(":", 1)[1]) for port, key in keys.items()})

    @unittest.skipUnless(shutil.which("dpkg-query"), "not a Debian system")
    def test_the_image_holds_every_library_the_programs_load(self):
        containerfile = (ROOT / "deploy/Containerfile").read_text()
        runtime = re.search(r"apt-get install [^&]*", containerfile.split("FROM ${RUNTIME_IMAGE}")[1]).group(0)
        listed = set(re.findall(r"^ +(lib\S+)", runtime, re.MULTILINE))
        # In every Debian image.
        listed |= {"libc6", "libgcc-s1", "libstdc++6", "zlib1g"}
        needed = {}
        for program in PROGRAMS:
            dynamic = subprocess.run(["readelf", "-d", BIN_DIR / program], check=True, capture_output=True, text=True).stdout
            for library in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
                if not re.match(r"libtorch|libc10", library):
                    needed.setdefault(library, program)
        for library, program in needed.items():
            found = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True, check=False).stdout
            packages = {re.sub(r":.*", "", package) for line in found.splitlines() for package in line.rsplit(": ", 1)[0].split(", ")}
            self.assertTrue(packages & listed, f"{program} loads {library} of {sorted(packages)}, which deploy/Containerfile does not install")


if __name__ == "__main__":
    unittest.main()
