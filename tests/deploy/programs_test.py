#!/usr/bin/env python3
"""What deploy/ tells the programs is what they understand: flags exist, configuration files load, the image holds their libraries.

Usage: scripts/test_env.sh tests/deploy/programs_test.py ROOT BIN_DIR
"""

import contextlib
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
import urllib.request
from pathlib import Path

import grpc
import yaml

import manifests

ROOT, BIN_DIR = Path(sys.argv.pop(1)).resolve(), Path(sys.argv.pop(1)).resolve()
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# HealthCheckResponse{status: SERVING}.
SERVING = b"\x08\x01"
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


def grpc_health(address, service):
    """The kubelet's gRPC probe: grpc.health.v1.Health/Check of one service name, its two one-field messages written out by hand."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
        return check(b"\x0a" + bytes([len(service)]) + service.encode(), timeout=5)


class ProgramsTest(unittest.TestCase):
    def test_every_flag_in_units_and_manifests_exists(self):
        commands = [*unit_commands(), *pod_commands()]
        self.assertEqual(4, len(commands))
        for where, command in commands:
            program = Path(command[0]).name
            self.assertIn(program, PROGRAMS)
            unknown = {argument for argument in command[1:] if argument.startswith("--")} - flags_of(program)
            self.assertFalse(unknown, f"{where}: {program} has no flag {', '.join(sorted(unknown))}")

    @contextlib.contextmanager
    def running(self, pod, scratch, *flags):
        """A daemon as its pod would start it, but on free ports and in a scratch folder. Yields what it serves on; ends by SIGTERM."""
        container = pod["containers"][0]
        program, ready = container["command"][0], Path(scratch, f"{container['name']}.ready")
        config = ROOT / "deploy/kubernetes/base/config" / f"{container['name']}.yaml"
        environment = {"POD_NAME": "pixelrec-worker-0", "POD_IP": "127.0.0.1"}
        arguments = [re.sub(r"\$\((\w+)\)", lambda name: environment[name.group(1)], argument) for argument in container["args"]]
        arguments = [str(config) if argument == f"/etc/pixelrec/{config.name}" else argument for argument in arguments]
        command = [BIN_DIR / program, *arguments, "--metrics-listen", "127.0.0.1:0", "--ready-file", ready, *flags]
        log = Path(scratch, f"{container['name']}.log")
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 20
            while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertTrue(ready.exists(), f"{shlex.join(map(str, command))} did not serve: {log.read_text()}")
            yield json.loads(ready.read_text())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(0, process.wait(timeout=pod["terminationGracePeriodSeconds"]), log.read_text())
        finally:
            process.kill()
            process.wait()

    def test_pods_start_answer_their_probes_and_stop(self):
        coordinator, worker = (self.pod(name) for name in ("coordinator", "worker"))
        with tempfile.TemporaryDirectory() as scratch, \
             self.running(coordinator, scratch, "--listen", "127.0.0.1:0", "--state-dir", f"{scratch}/state") as served, \
             self.running(worker, scratch, "--coordinator", served["grpc"], "--work-dir", f"{scratch}/work", "--dataset-cache-dir", f"{scratch}/cache",
                          "--trainer", str(BIN_DIR / "pixelrec-trainer")) as worker_served:
            for probe in PROBES:
                asked = coordinator["containers"][0][probe]["grpc"]
                self.assertEqual(SERVING, grpc_health(served["grpc"], asked["service"]), f"{probe} of the coordinator")
                path = worker["containers"][0][probe]["httpGet"]["path"]
                with urllib.request.urlopen(f"http://{worker_served['metrics']}{path}", timeout=5) as answer:
                    self.assertEqual(200, answer.status, f"{probe} of the worker")

    @staticmethod
    def pod(name):
        return next(manifests.pod_specs(document)[0] for document in manifests.render(ROOT / "deploy/kubernetes/base")
                    if document["kind"] == "StatefulSet" and document["metadata"]["name"] == f"pixelrec-{name}")

    def test_the_ports_of_files_and_manifests_agree(self):
        for name, keys in {"coordinator": {"grpc": "listen", "metrics": "metrics_listen"}, "worker": {"metrics": "metrics_listen"}}.items():
            config = yaml.safe_load((ROOT / f"deploy/kubernetes/base/config/{name}.yaml").read_text())
            ports = {port["name"]: port["containerPort"] for port in self.pod(name)["containers"][0]["ports"]}
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
        # "libgrpc29:amd64, other:amd64: /usr/lib/x86_64-linux-gnu/libgrpc.so.29"
        owners = {}
        found = subprocess.run(["dpkg-query", "-S", *(f"*/{library}" for library in needed)], capture_output=True, text=True, check=False).stdout
        for line in found.splitlines():
            packages, path = line.rsplit(": ", 1)
            owners.setdefault(Path(path).name, set()).update(re.sub(r":.*", "", package) for package in packages.split(", "))
        for library, program in needed.items():
            packages = owners.get(library, set())
            self.assertTrue(packages & listed, f"{program} loads {library} of {sorted(packages)}, which deploy/Containerfile does not install")


if __name__ == "__main__":
    unittest.main()
