#!/usr/bin/env python3
"""The kustomize base: valid by the strict Kubernetes schemas, whole in its references, restricted in its pods.

Usage: scripts/test_env.sh tests/deploy/kubernetes_test.py ROOT
"""

import copy
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

import manifests

ROOT = Path(sys.argv.pop(1)).resolve()
BASE = ROOT / "deploy/kubernetes/base"
# ReadWriteOncePod and native gRPC probes are stable from 1.29 on.
OLDEST_SUPPORTED = "1.29"


def without_hashes(documents):
    """Documents by (kind, name), the content hash of generated names blanked out."""
    text = re.sub(r"\b(pixelrec-(?:coordinator|worker))-[a-z0-9]{10}\b", r"\1-HASH", yaml.safe_dump_all(documents))
    return {(document["kind"], document["metadata"]["name"]): document for document in yaml.safe_load_all(text)}


class KubernetesTest(unittest.TestCase):
    def setUp(self):
        self.documents = manifests.render(BASE)

    def find(self, kind, name):
        return next(document for document in self.documents if document["kind"] == kind and document["metadata"]["name"] == name)

    def test_every_document_is_valid_by_the_strict_schema(self):
        for version in (OLDEST_SUPPORTED, kubernetes_validate.latest_version()):
            for document in self.documents:
                with self.subTest(version=version, kind=document["kind"], name=document["metadata"]["name"]):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_a_misspelt_field_is_caught(self):
        document = copy.deepcopy(self.find("StatefulSet", "pixelrec-worker"))
        document["spec"]["template"]["spec"]["terminationGracePeriod"] = 300
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)

    def test_renders_as_kubectl_does(self):
        if not shutil.which("kubectl"):
            self.skipTest("no kubectl on this machine")
        built = subprocess.run(["kubectl", "kustomize", BASE], check=True, capture_output=True, text=True).stdout
        self.assertEqual(without_hashes(yaml.safe_load_all(built)), without_hashes(self.documents))

    def test_no_file_is_forgotten(self):
        self.assertEqual([], manifests.unlisted_files(BASE))

    def test_every_reference_has_its_target(self):
        self.assertEqual([], list(manifests.reference_problems(self.documents)))

    def test_broken_references_are_caught(self):
        def worker():
            return self.find("StatefulSet", "pixelrec-worker")["spec"]["template"]
        breaks = {
            "is no volume": lambda: worker()["spec"]["volumes"].pop(),
            "selects no pod": lambda: self.find("Service", "pixelrec-coordinator")["spec"]["selector"].update({"app.kubernetes.io/component": "coordinater"}),
            "its selector does not match its own pods": lambda: worker()["metadata"]["labels"].pop("app.kubernetes.io/component"),
            "which is not there": lambda: self.documents.remove(self.find("PersistentVolumeClaim", "pixelrec-data")),
            "is no Service": lambda: self.documents.remove(self.find("Service", "pixelrec-worker")),
            "is no port of": lambda: worker()["spec"]["containers"][0]["ports"][0].update({"name": "metric"}),
        }
        for message, damage in breaks.items():
            with self.subTest(message):
                self.setUp()
                damage()
                self.assertTrue(any(message in problem for problem in manifests.reference_problems(self.documents)))

    def test_every_pod_is_restricted(self):
        self.assertEqual([], list(manifests.restricted_problems(self.documents)))

    def test_a_pod_that_could_gain_privileges_is_caught(self):
        self.find("StatefulSet", "pixelrec-worker")["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        self.assertEqual(["StatefulSet pixelrec-worker: not so: worker can't gain privileges"], list(manifests.restricted_problems(self.documents)))

    def test_traffic_is_denied_by_default(self):
        policy = self.find("NetworkPolicy", "default-deny")["spec"]
        self.assertEqual({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, policy)

    def test_one_coordinator_many_workers_at_once(self):
        coordinator, worker = (self.find("StatefulSet", f"pixelrec-{name}")["spec"] for name in ("coordinator", "worker"))
        self.assertEqual(1, coordinator["replicas"])
        self.assertEqual(["ReadWriteOncePod"], coordinator["volumeClaimTemplates"][0]["spec"]["accessModes"])
        self.assertEqual("Parallel", worker["podManagementPolicy"])
        shm = next(volume for volume in worker["template"]["spec"]["volumes"] if volume["name"] == "shm")
        self.assertEqual("Memory", shm["emptyDir"]["medium"])
        self.assertIn("sizeLimit", shm["emptyDir"])


if __name__ == "__main__":
    unittest.main()
