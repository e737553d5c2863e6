"""The Helm chart: lint, equality with the kustomize base, and values that it must reject."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from report import CheckError, Report
from rules import violations
from schemas import Schemas
from tools import CHART, HELM, KUSTOMIZE, NEWEST, ROOT, Object, helm_environment, helm_template, kustomize, of_kind, one_line, output, parse, run

BASE_VALUES = CHART / "ci/base-values.yaml"
EVERYTHING = CHART / "ci/everything-values.yaml"
#: Labels that Helm's conventions ask for.
HELM_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
COMPONENTS = ("network-policies", "monitoring", "hpa-requests", "gateway", "ingress", "redis")
SAME_AS_COMPONENTS = [
    "networkPolicy.enabled=true", "monitoring.serviceMonitor=true", "monitoring.rules=true", "monitoring.dashboards=true",
    "autoscaling.targetRequests=5k", "ingress.enabled=true", "redis.url=rediss://oauth2@redis.redis.svc:6379/0",
    "gateway.parentRefs[0].group=gateway.networking.k8s.io", "gateway.parentRefs[0].kind=Gateway", "gateway.parentRefs[0].name=public",
    "gateway.parentRefs[0].namespace=ingress", "gateway.parentRefs[0].sectionName=https",
]
#: Values that must be rejected, and what the message must name.
REJECTED: dict[str, tuple[list[str], str]] = {
    "no issuer": (["issuer="], "issuer is required"),
    "an http issuer": (["issuer=http://auth.example"], "issuer must be an https URL"),
    "an issuer with a query": (["issuer=https://auth.example/?a=b"], "issuer must be an https URL"),
    "no database": (["database.url="], "database.url is required"),
    "a database on SQLite": (["database.url=sqlite:///data/oauth2.db"], "database.url must begin with postgres://"),
    "a password in the URL": (["database.url=postgres://oauth2:secret@db/oauth2"], "database.url must not contain a password"),
    "a password in the URL of Redis": (["redis.url=rediss://oauth2:secret@redis:6379/0"], "redis.url must not contain a password"),
    "another protocol for Redis": (["redis.url=http://redis"], "redis.url must begin with redis://"),
    "the tag latest": (["image.tag=latest"], "image.tag must be a release or a digest"),
    "a text for a number": (["database.maxConnections=many"], "/database/maxConnections"),
    "no ports, which would be every port": (["networkPolicy.postgres.ports=null"], "ports"),
    "a misspelt name": (["autoscaling.maxReplica=5"], "maxReplica"),
    "an unknown name": (["replicaCount=3"], "replicaCount"),
    "no replica": (["autoscaling.minReplicas=0"], "autoscaling/minReplicas"),
    "more minimum than maximum": (["autoscaling.minReplicas=11"], "must not exceed autoscaling.maxReplicas"),
    "more Pods than Postgres has connections for": (["autoscaling.maxReplicas=20"], "raise max_connections of Postgres"),
    "larger pools than Postgres has connections for": (["database.maxConnections=40"], "raise max_connections of Postgres"),
    "no memory limit": (["resources.limits.memory=null"], "limits"),
    "root": (["runAsUser=0"], "runAsUser"),
    "a secret among the settings": (["config.OAUTH2_JWT_SECRET=0123456789abcdef0123456789abcdef"], "put it into the Secret"),
    "a setting of the chart among the settings": (["config.OAUTH2_ISSUER=https://other.example"], "is set by the chart"),
    "a variable of something else": (["config.PATH=/tmp"], "PATH"),
}


def is_environment(each: list[Any]) -> bool:
    names = [set(item) for item in each if isinstance(item, dict)]
    return bool(each) and len(names) == len(each) and all({"name"} <= keys <= {"name", "value", "valueFrom"} for keys in names)


def normalized(each: Any) -> Any:
    """Without namespace, Helm's labels and the order of variables. (A reference to a Gateway has a namespace that counts.)"""
    if isinstance(each, list):
        return {item["name"]: item for item in each} if is_environment(each) else [normalized(item) for item in each]
    if isinstance(each, dict):
        ignored = HELM_LABELS if "sectionName" in each else HELM_LABELS | {"namespace"}
        return {key: normalized(value) for key, value in each.items() if key not in ignored}
    return each


def by_name(objects: list[Object]) -> dict[str, Object]:
    return {f"{each['kind']} {each['metadata']['name']}": normalized(each) for each in objects}


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        return [text for key in sorted(left.keys() | right.keys()) for text in differences(left.get(key), right.get(key), f"{path}.{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [text for index, pair in enumerate(zip(left, right)) for text in differences(*pair, f"{path}[{index}]")]
    return [] if left == right else [f"{path}: {left!r} and {right!r}"[:300]]


def without_labels_of_dashboards(objects: dict[str, Object]) -> dict[str, Object]:
    """grafana/kustomization.yaml is used alone too, and labels its ConfigMaps with less; the label of the sidecar must be the same."""
    for name, each in objects.items():
        if name.startswith("ConfigMap"):
            each["metadata"]["labels"] = {"grafana_dashboard": each["metadata"]["labels"]["grafana_dashboard"]}
    return objects


def compare(report: Report, what: str, manifests: list[Object], chart: list[Object]) -> None:
    left, right = (without_labels_of_dashboards(by_name(objects)) for objects in (manifests, chart))
    found = differences(left, right)
    if found:
        report.failed(f"chart: {what}", f"{len(found)} differences, kustomize and Helm: {found[0]}")
    else:
        report.ok(f"chart: {what}: {len(left)} objects are equal, but for the labels of Helm")


def with_components(scratch: Path) -> list[Object]:
    directory = scratch / "components"
    directory.mkdir()
    relative = os.path.relpath(KUSTOMIZE, directory.resolve())
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", f"resources: [{relative}/base]", "components:"]
    (directory / "kustomization.yaml").write_text("\n".join(lines + [f"  - {relative}/components/{name}" for name in COMPONENTS]) + "\n")
    return parse(kustomize(directory))


def check_rejections(report: Report) -> None:
    missed = []
    for name, (values, wanted) in REJECTED.items():
        command: list[str | Path] = [HELM, "template", "oauth2-server", CHART, "--kube-version", NEWEST, "-f", BASE_VALUES]
        for value in values:
            command += ["--set", value]
        done = run(command, env=helm_environment())
        if done.returncode == 0 or wanted not in done.stderr:
            missed.append(f"{name}: {one_line(done.stderr) or 'accepted'}")
    if missed:
        report.failed(f"chart: rejects {len(REJECTED)} bad values", "; ".join(missed))
    else:
        report.ok(f"chart: rejects {len(REJECTED)} bad values, and each message names the value")


def check_conventions(report: Report) -> None:
    """No hooks, no sub-charts, no Secrets, no other images, and the version of the server."""
    try:
        chart, text = (CHART / "Chart.yaml").read_text(), helm_template("-f", EVERYTHING)
        objects = parse(text)
        if "dependencies" in chart or (CHART / "charts").exists():
            raise CheckError("the chart has sub-charts")
        if "helm.sh/hook" in text:
            raise CheckError("the chart has hooks")
        if of_kind(objects, "Secret"):
            raise CheckError("the chart makes a Secret")
        images = set(re.findall(r"image: \"?([^\"\s]+)", text))
        version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        if not version or images != {f"registry.example/oauth2-server:{version[1]}"}:
            raise CheckError(f"images are {images}, version of the server: {version and version[1]}")
        if found := violations(objects):
            raise CheckError("; ".join(found))
        two = {release: parse(helm_template("-f", EVERYTHING, release=release)) for release in ("a", "b")}
        names = [{f"{each['kind']} {each['metadata']['name']}" for each in objects} for objects in two.values()]
        if names[0] & names[1]:
            raise CheckError(f"two releases in one namespace share {sorted(names[0] & names[1])}")
        for objects in two.values():
            if found := violations(objects):
                raise CheckError("; ".join(found))
        report.ok("chart: no hooks, sub-charts, Secrets or foreign images; two releases in one namespace share no object; every rule holds")
    except CheckError as error:
        report.failed("chart: conventions", str(error))


def check_chart(report: Report, schemas: Schemas, scratch: Path) -> None:
    try:
        for values in (BASE_VALUES, EVERYTHING):
            output([HELM, "lint", "--strict", "--kube-version", NEWEST, CHART, "-f", values], env=helm_environment())
        report.ok("chart: helm lint --strict, with the least values and with all options")
        compare(report, "with the two required values and deploy/kubernetes/base", parse(kustomize(KUSTOMIZE / "base")),
                parse(helm_template("-f", BASE_VALUES)))
        options: list[str | Path] = ["-f", BASE_VALUES]
        for option in SAME_AS_COMPONENTS:
            options += ["--set", option]
        compare(report, f"with options and the base with {len(COMPONENTS)} components", with_components(scratch), parse(helm_template(*options)))
        schemas.check(report, "chart with all options", parse(helm_template("-f", EVERYTHING)))
        check_conventions(report)
        check_rejections(report)
    except CheckError as error:
        report.failed("chart", str(error))
