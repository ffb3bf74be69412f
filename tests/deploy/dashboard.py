"""Reads a Grafana dashboard: its queries with the variables put in as Grafana would, and the rules that every dashboard here follows."""

import json
import re

VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
METRIC = re.compile(r"\bpixelrec_\w+")
ROWS = ["Overview", "Throughput", "Loss health", "Checkpoints and recovery", "Stragglers", "Data", "RPC", "Journal", "Devices"]
HISTOGRAM_PART = re.compile(r"_(bucket|sum|count)$")


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard):
    """(name, expression) of every panel's target and every annotation."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"panel '{panel['title']}' {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation '{annotation['name']}'", annotation["expr"]


def variables(dashboard):
    """(name, selector, label) of every variable that asks Prometheus: label_values(selector, label)."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            yield variable["name"], selector, label


def substitute(text, values):
    """Puts in values; KeyError for a variable that the dashboard doesn't define."""
    return VARIABLE.sub(lambda match: values[match.group(1)], text)


def metrics(expression):
    return {HISTOGRAM_PART.sub("", name) if HISTOGRAM_PART.search(name) else name for name in METRIC.findall(expression)}


def problems(dashboard, catalogue):
    """What breaks the rules of the operations page. `catalogue`: names of all metrics there are."""
    if dashboard.get("editable") is not False:
        yield "is editable"
    if not dashboard.get("uid") or not dashboard.get("tags"):
        yield "has no fixed uid or no tags"
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    if names != ["datasource", "job", "instance", "job_id", "rank"]:
        yield f"has the variables {names}"
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    if rows != ROWS:
        yield f"has the rows {rows}"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        yield "has two panels with one id"
    for panel in panels(dashboard):
        for field, present in {"title": panel.get("title"), "description": panel.get("description"), "unit": panel["fieldConfig"]["defaults"].get("unit")}.items():
            if not present:
                yield f"panel {panel['id']} has no {field}"
        if any(source["uid"] != "${datasource}" for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]):
            yield f"panel '{panel['title']}' names a data source of its own"
    for name, expression in queries(dashboard):
        for metric in metrics(expression) - catalogue:
            yield f"{name} asks for {metric}, which no program has"
        if re.search(r"\[\d", expression):
            yield f"{name} has a fixed range; use $__rate_interval"
    yield from overlaps(panels(dashboard))


def overlaps(placed):
    for index, panel in enumerate(placed):
        a = panel["gridPos"]
        if a["x"] + a["w"] > 24:
            yield f"panel '{panel['title']}' is wider than the grid"
        for other in placed[:index]:
            b = other["gridPos"]
            if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]:
                yield f"panels '{panel['title']}' and '{other['title']}' overlap"
