"""Paths, programs, and the objects of manifests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from report import CheckError

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "target/tools/deploy"
KUBECTL = TOOLS / "python/bin/kubectl"
VALIDATE = TOOLS / "python/bin/kubernetes-validate"
HELM = TOOLS / "bin/helm"
KUBECONFORM = TOOLS / "bin/kubeconform"
CRDS = TOOLS / "kubernetes/crds"
CHART = ROOT / "deploy/helm/oauth2-server"
KUSTOMIZE = ROOT / "deploy/kubernetes"
#: The newest version of Kubernetes that is checked. Helm, built from its module, takes an old one if none is named.
NEWEST = "1.37.0"
OVERLAYS = ("dev", "staging", "production")

#: An object of a manifest.
Object = dict[str, Any]


def binary() -> Path:
    path = Path(os.environ.get("OAUTH2_SERVER_BINARY", ROOT / "target/debug/oauth2_server")).resolve()
    if not os.access(path, os.X_OK):
        raise CheckError(f"OAUTH2_SERVER_BINARY must name the server: {path} is not executable")
    return path


def run(command: list[str | Path], timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever its exit code."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **options)


def output(command: list[str | Path], **options: Any) -> str:
    """The stdout of a program that must succeed."""
    done = run(command, **options)
    if done.returncode != 0:
        raise CheckError(f"{Path(command[0]).name} ended with {done.returncode}: {one_line(done.stderr or done.stdout)}")
    return done.stdout


def one_line(text: str, limit: int = 400) -> str:
    return " ".join(text.split())[:limit]


def parse(text: str) -> list[Object]:
    return [document for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document]


def kustomize(directory: Path) -> str:
    return output([KUBECTL, "kustomize", directory])


def helm_template(*arguments: str | Path, release: str = "oauth2-server") -> str:
    return output([HELM, "template", release, CHART, "--namespace", "oauth2", "--kube-version", NEWEST, *arguments], env=helm_environment())


def helm_environment() -> dict[str, str]:
    """Without the configuration of the user: no plugins, no repositories, no cluster."""
    scratch = str(TOOLS / "kubernetes/helm")
    names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")
    return {"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull} | {name: scratch for name in names}


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def one(objects: list[Object], kind: str) -> Object:
    found = of_kind(objects, kind)
    if len(found) != 1:
        raise CheckError(f"{len(found)} objects of kind {kind}, not one")
    return found[0]


def container(workload: Object) -> Object:
    containers: list[Object] = workload["spec"]["template"]["spec"]["containers"]
    return containers[0]


def environment(workload: Object) -> dict[str, str]:
    """Variables by name, with $(NAME) of earlier ones replaced. Those of fields have a name of a Pod."""
    values: dict[str, str] = {}
    for each in container(workload)["env"]:
        value = each.get("value", "oauth2-server-0" if "valueFrom" in each else "")
        for name, earlier in values.items():
            value = value.replace(f"$({name})", earlier)
        values[each["name"]] = value
    return values


def describe(each: Object) -> str:
    return f"{each['kind']} {each['metadata'].get('name', '?')}"
