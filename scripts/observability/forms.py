"""The other forms of the dashboards: provisioning files, the ConfigMaps of a sidecar, Grafana Operator, the mixin of a fleet."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from dashboards import ROOT, parse, queries, selectors

GRAFANA = ROOT / "grafana"
PROVIDER = GRAFANA / "provisioning/dashboards/oauth2-server.yaml"
SOURCE = GRAFANA / "provisioning/datasources/prometheus.yaml"
OPERATOR = GRAFANA / "kubernetes/grafana-operator.yaml"


def check(dashboards):
    failures = []
    failures += provisioning()
    failures += config_maps(dashboards)
    failures += operator(dashboards)
    failures += fleet()
    return failures, 5


def provisioning():
    provider = yaml.safe_load(PROVIDER.read_text())
    for each in provider["providers"]:
        if provider["apiVersion"] != 1 or each["type"] != "file" or not each["options"]["path"].startswith("/"):
            yield f"{PROVIDER.name}: not a provider of files with an absolute path"
        if each.get("allowUiUpdates"):
            yield f"{PROVIDER.name}: allows changes that the next start loses"
    source = yaml.safe_load(SOURCE.read_text())
    for each in source["datasources"]:
        if each["type"] != "prometheus" or not each["jsonData"].get("timeInterval"):
            yield f"{SOURCE.name}: no Prometheus with timeInterval, on which $__rate_interval depends"


def kustomized():
    """The ConfigMaps, as kubectl makes them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    return subprocess.run([kubectl, "kustomize", GRAFANA], check=True, capture_output=True, text=True).stdout


def config_maps(dashboards):
    text = kustomized()
    keys = set()
    for each in yaml.safe_load_all(text):
        name = f"kustomization.yaml: {each['metadata']['name']}"
        keys |= set(each["data"])
        for key, value in each["data"].items():
            if json.loads(value) != dashboards.get(key):
                yield f"{name}: {key} is not the dashboard"
        # What kubectl apply keeps of the last one in an annotation.
        if len(json.dumps(each)) > 256 * 1024:
            yield f"{name} is too large for kubectl apply"
        if each["metadata"]["labels"].get("grafana_dashboard") != "1":
            yield f"{name} lacks the label that sidecars look for"
    if keys != set(dashboards):
        yield f"kustomization.yaml: the dashboards are {sorted(keys)}"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        result = subprocess.run([Path(sys.executable).with_name("kubernetes-validate"), "--strict", file.name], capture_output=True, text=True)
    if result.returncode:
        yield f"kustomization.yaml: kubernetes-validate: {(result.stdout + result.stderr).strip()[-300:]}"


def operator(dashboards):
    """A GrafanaDashboard for each dashboard, with the name and key of its ConfigMap."""
    names = {(each["metadata"]["name"], key) for each in yaml.safe_load_all(kustomized()) for key in each["data"]}
    found = set()
    for manifest in yaml.safe_load_all(OPERATOR.read_text()):
        if (manifest["apiVersion"], manifest["kind"]) != ("grafana.integreatly.org/v1beta1", "GrafanaDashboard"):
            yield f"grafana-operator.yaml: {manifest['kind']} {manifest['apiVersion']}"
            continue
        spec = manifest["spec"]
        if not spec["instanceSelector"]["matchLabels"] or (spec["configMapRef"]["name"], spec["configMapRef"]["key"]) not in names:
            yield f"grafana-operator.yaml: {manifest['metadata']['name']}: no instance selector, or another ConfigMap"
        found.add(spec["configMapRef"]["key"])
    if found != set(dashboards):
        yield f"grafana-operator.yaml: the dashboards are {sorted(found)}"


def fleet():
    """The mixin with a label for clusters: each selector of the server has it."""
    program = "((import 'alerts/mixin.libsonnet') + { _config+:: { groupLabels: ['cluster', 'job'] } }).grafanaDashboards"
    jsonnet = ROOT / "target/tools/observability/jsonnet"
    built = json.loads(subprocess.run([jsonnet, "-e", program], check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    for name, dashboard in built.items():
        for query in queries(name, dashboard):
            for selector in selectors(parse(query.expr, dashboard)):
                own = "oauth2_server_" in selector.name and not selector.name.endswith(":objective")
                if own and "cluster" not in {matcher.name for matcher in selector.matchers.matchers}:
                    yield f"mixin with clusters: {query}: {selector.name} lacks cluster"
