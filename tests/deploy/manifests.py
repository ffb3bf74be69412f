"""Builds a kustomize folder the way `kubectl kustomize` does, for the few features this repository uses, and checks what comes out.

kubectl is on few machines; a test compares this renderer with it where it is there. An unknown key in a kustomization is an error, so
that a feature this file doesn't know can't be silently left out of the checks.
"""

import hashlib
from pathlib import Path

import yaml

KNOWN_KEYS = {"apiVersion", "kind", "namespace", "labels", "resources", "configMapGenerator", "images"}
CLUSTER_SCOPED = {"Namespace"}


def render(folder):
    """The documents of a kustomize folder, in order of resources, then generated config maps."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(kustomization) - KNOWN_KEYS
    if unknown:
        raise ValueError(f"{folder}/kustomization.yaml: manifests.py does not know {sorted(unknown)}")
    documents = []
    for resource in kustomization["resources"]:
        documents += [document for document in yaml.safe_load_all((folder / resource).read_text()) if document]
    generated = {generator["name"]: config_map(folder, generator) for generator in kustomization.get("configMapGenerator", [])}
    documents += generated.values()
    for document in documents:
        if document["kind"] not in CLUSTER_SCOPED:
            document["metadata"]["namespace"] = kustomization["namespace"]
        for entry in kustomization.get("labels", []):
            add_labels(document, entry["pairs"])
        for pod in pod_specs(document):
            rename(pod, generated, {image["name"]: f"{image['newName']}:{image['newTag']}" for image in kustomization.get("images", [])})
    return documents


def config_map(folder, generator):
    data = {Path(file).name: (folder / file).read_text() for file in generator["files"]}
    digest = hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()[:10]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{generator['name']}-{digest}"}, "data": data}


def add_labels(document, pairs):
    document["metadata"].setdefault("labels", {}).update(pairs)
    template = document.get("spec", {}).get("template")
    if template:
        template["metadata"]["labels"].update(pairs)
    for claim in document.get("spec", {}).get("volumeClaimTemplates", []):
        claim["metadata"].setdefault("labels", {}).update(pairs)


def rename(pod, generated, images):
    for volume in pod.get("volumes", []):
        name = volume.get("configMap", {}).get("name")
        if name in generated:
            volume["configMap"]["name"] = generated[name]["metadata"]["name"]
    for container in containers(pod):
        container["image"] = images.get(container["image"], container["image"])


def pod_specs(document):
    template = document.get("spec", {}).get("template") if isinstance(document.get("spec"), dict) else None
    return [template["spec"]] if template else []


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def unlisted_files(folder):
    """Files of the folder that its kustomization forgets."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = set(kustomization["resources"]) | {file for generator in kustomization.get("configMapGenerator", []) for file in generator["files"]}
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {"kustomization.yaml"}
    return sorted(present - listed)


def reference_problems(documents):
    """What points at something that isn't there."""
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    workloads = [document for document in documents if pod_specs(document)]
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            yield from selection_problems(document, workloads)
        if kind == "StatefulSet":
            spec = document["spec"]
            if ("Service", spec["serviceName"]) not in names:
                yield f"{kind} {name}: serviceName {spec['serviceName']} is no Service"
            if not matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
                yield f"{kind} {name}: its selector does not match its own pods"
            yield from volume_problems(document, names)


def selection_problems(document, workloads):
    """A selector picks at least one workload, and named ports exist in every workload that it picks."""
    kind, name, spec = document["kind"], document["metadata"]["name"], document["spec"]
    selector = spec["selector"] if kind == "Service" else spec.get("podSelector", spec.get("selector", {})).get("matchLabels", {})
    picked = [workload for workload in workloads if matches(selector, workload["spec"]["template"]["metadata"]["labels"])]
    if not picked:
        yield f"{kind} {name}: selects no pod"
    ports = [port.get("targetPort") for port in spec.get("ports", [])]
    ports += [port.get("port") for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
    for port in ports:
        for workload in picked:
            if isinstance(port, str) and port not in port_names(pod_specs(workload)[0]):
                yield f"{kind} {name}: port {port} is no port of {workload['metadata']['name']}"


def volume_problems(document, names):
    pod = pod_specs(document)[0]
    where = f"{document['kind']} {document['metadata']['name']}"
    claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for container in containers(pod):
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes and mount["name"] not in claims:
                yield f"{where}: mounts {mount['name']}, which is no volume"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            target = container.get(probe, {}).get("httpGet", container.get(probe, {}).get("grpc", {})).get("port")
            if target is None or (target not in port_names(pod) and target not in port_numbers(pod)):
                yield f"{where}: {probe} of {container['name']} asks port {target}, which is no port of the pod"
    for name, volume in volumes.items():
        target = (("ConfigMap", volume["configMap"]["name"]) if "configMap" in volume
                  else ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) if "persistentVolumeClaim" in volume else None)
        if target and target not in names:
            yield f"{where}: volume {name} needs {target[0]} {target[1]}, which is not there"


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def port_names(pod):
    return {port["name"] for container in pod["containers"] for port in container.get("ports", [])}


def port_numbers(pod):
    return {port["containerPort"] for container in pod["containers"] for port in container.get("ports", [])}


def restricted_problems(documents):
    """Pod Security's profile `restricted`, and the project's own rules: no token, read-only root."""
    for document in documents:
        for pod in pod_specs(document):
            where = f"{document['kind']} {document['metadata']['name']}"
            context = pod.get("securityContext", {})
            rules = {
                "runs as a numeric non-root user": context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0,
                "has seccomp RuntimeDefault": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
                "mounts no service account token": pod.get("automountServiceAccountToken") is False,
                "shares no namespace of the host": not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
                "mounts nothing of the host": not any("hostPath" in volume for volume in pod.get("volumes", [])),
            }
            for container in containers(pod):
                own = container.get("securityContext", {})
                rules[f"{container['name']} can't gain privileges"] = own.get("allowPrivilegeEscalation") is False and not own.get("privileged")
                rules[f"{container['name']} drops all capabilities"] = own.get("capabilities") == {"drop": ["ALL"]}
                rules[f"{container['name']} has a read-only root"] = own.get("readOnlyRootFilesystem") is True
                rules[f"{container['name']} has a memory limit"] = "memory" in container.get("resources", {}).get("limits", {})
            for rule, holds in rules.items():
                if not holds:
                    yield f"{where}: not so: {rule}"
