"""Applies everything to a real API server. Run by scripts/deploylib/kubernetes-api."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cluster import Cluster, built
from controllers import check_controllers
from report import CheckError, Report
from tokens import check_tokens
from tools import CHART, KUSTOMIZE, OVERLAYS, ROOT, helm_template, kustomize, one, parse

EVERYTHING = CHART / "ci/everything-values.yaml"


def versions(cluster: Cluster, text: str) -> dict[str, str]:
    """Resource versions of a manifest's objects, which change with every write that changes something."""
    found = json.loads(cluster.kubectl("get", "-o", "json", "-f", "-", stdin=text))["items"]
    return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in found}


def apply(cluster: Cluster, text: str, *arguments: str) -> str:
    return cluster.kubectl("apply", "--server-side", "-f", "-", *arguments, stdin=text)


def check_overlay(cluster: Cluster, name: str) -> str:
    text = kustomize(KUSTOMIZE / "overlays" / name)
    apply(cluster, text)
    before = versions(cluster, text)
    apply(cluster, text)
    after = versions(cluster, text)
    if changed := [key for key in before if before[key] != after[key]]:
        raise CheckError(f"a second apply changed {', '.join(changed)}")
    if cluster.try_kubectl("diff", "--server-side", "-f", "-", stdin=text).returncode != 0:
        raise CheckError("kubectl diff finds differences after the apply")
    return f"{len(parse(text))} objects applied without a warning in a namespace that warns of less than `restricted`; a second apply changes none"


def check_replicas(cluster: Cluster) -> str:
    """What the autoscaler set stays."""
    cluster.kubectl("-n", "oauth2-production", "scale", "deployment/oauth2-server", "--replicas=5")
    apply(cluster, kustomize(KUSTOMIZE / "overlays/production"))
    replicas = cluster.get("-n", "oauth2-production", "deployment", "oauth2-server")["spec"]["replicas"]
    if replicas != 5:
        raise CheckError(f"the apply set replicas to {replicas}")
    return "replicas that were scaled to 5 stay 5 after an apply"


def check_pod(cluster: Cluster) -> str:
    """The Pod itself passes the admission of the namespace; one that runs as root does not."""
    template = one(parse(kustomize(KUSTOMIZE / "overlays/production")), "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": "oauth2-production"}, "spec": template["spec"]}
    for constraint in pod["spec"]["topologySpreadConstraints"]:
        # A Pod without a Deployment has no such label, which is an error.
        constraint.pop("matchLabelKeys")
    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    done = cluster.try_kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    if done.returncode == 0 or "violates PodSecurity" not in done.stderr:
        raise CheckError("a Pod that may escalate privileges is admitted")
    return "its Pod is admitted by Pod Security `restricted`, the same Pod with privilege escalation is not"


def check_upgrade(cluster: Cluster) -> str:
    """Another image and other limits change the Pods and no selector; a changed selector is refused."""
    text = kustomize(KUSTOMIZE / "overlays/production")
    apply(cluster, text.replace("oauth2-server:0.1.0", "oauth2-server:0.2.0").replace("value: 100/s", "value: 200/s"))
    deployment = cluster.get("-n", "oauth2-production", "deployment", "oauth2-server")["spec"]
    if not deployment["template"]["spec"]["containers"][0]["image"].endswith(":0.2.0"):
        raise CheckError("the image did not change")
    objects = parse(text)
    one(objects, "Deployment")["spec"]["selector"]["matchLabels"]["version"] = "2"
    one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]["version"] = "2"
    done = cluster.try_kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
    if done.returncode == 0 or "immutable" not in done.stderr:
        raise CheckError("a changed selector is accepted")
    apply(cluster, text)
    return "an upgrade changes image and limits and keeps the selector; a changed selector is refused"


def check_unknown_field(cluster: Cluster) -> str:
    text = kustomize(KUSTOMIZE / "overlays/dev").replace("minReadySeconds", "minReadySecnds")
    done = cluster.try_kubectl("apply", "--server-side", "-f", "-", stdin=text)
    if done.returncode == 0:
        raise CheckError("an unknown field is accepted")
    return "a misspelt field is refused"


def check_helm(cluster: Cluster) -> str:
    cluster.kubectl("create", "namespace", "oauth2")
    cluster.kubectl("label", "namespace", "oauth2", "pod-security.kubernetes.io/warn=restricted", "pod-security.kubernetes.io/enforce=restricted")
    common: list[str | Path] = ["oauth2-server", CHART, "-n", "oauth2", "-f", EVERYTHING]
    notes = cluster.helm("install", *common)
    if "curl" not in notes:
        raise CheckError("the notes name no curl")
    deployment = lambda: cluster.get("-n", "oauth2", "deployment", "oauth2-server")["spec"]  # noqa: E731
    first = deployment()
    cluster.helm("upgrade", *common, "--set", "image.tag=0.2.0", "--set", "autoscaling.maxReplicas=8", "--set", "resources.limits.memory=1Gi")
    second = deployment()
    if second["selector"] != first["selector"] or second["template"] == first["template"]:
        raise CheckError("the upgrade changed the selector, or not the Pods")
    cluster.helm("rollback", "oauth2-server", "1", "-n", "oauth2")
    if deployment()["template"] != first["template"]:
        raise CheckError("the rollback did not restore the Pods")
    return "helm install, upgrade (image, limits, replicas; same selector) and rollback (same Pods as before)"


def check_template(cluster: Cluster) -> str:
    """What Argo CD does with a chart: it renders it and applies the result. It must find what Helm installed unchanged."""
    text = helm_template("-f", EVERYTHING)
    done = cluster.try_kubectl("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    if done.returncode != 0:
        raise CheckError(f"differs from what Helm installed: {' '.join((done.stdout + done.stderr).split())[:300]}")
    cluster.kubectl("create", "namespace", "rendered")
    other = text.replace("namespace: oauth2\n", "namespace: rendered\n")
    apply(cluster, other, "-n", "rendered")
    before = versions(cluster, other)
    apply(cluster, other, "-n", "rendered")
    if before != versions(cluster, other):
        raise CheckError("a second apply of the rendered chart changes something")
    return "`helm template` equals what `helm install` made (kubectl diff), and is accepted by kubectl apply; a second apply changes nothing"


def check_files(cluster: Cluster) -> str:
    cluster.kubectl("apply", "--server-side", "-n", "oauth2-staging", "-f", str(ROOT / "loadtest/kubernetes/job.yaml"))
    cluster.kubectl("create", "namespace", "argocd")
    for example in sorted((KUSTOMIZE / "examples").glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", str(example))
    cluster.kubectl("apply", "--server-side", "-n", "oauth2", "-f", str(KUSTOMIZE / "components/secrets-store-csi/secret-provider-class.yaml"))
    return "the load test's Job, the examples for External Secrets and Argo CD, and the SecretProviderClass are accepted without a warning"


def attempt(report: Report, name: str, check: Callable[..., str], *arguments: Any) -> None:
    try:
        report.ok(f"{name}: {check(*arguments)}")
    except CheckError as error:
        report.failed(name, str(error))


def main() -> int:
    report = Report("kubernetes-api")
    if not built("etcd", "kube-apiserver"):
        report.not_run("a real API server", "it is not built: scripts/deploylib/kubelib/build-api-server builds it, which takes long")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="kubernetes-api-") as name:
        cluster = Cluster(Path(name))
        try:
            cluster.start()
            version = yaml.safe_load(cluster.kubectl("get", "--raw", "/version"))["gitVersion"]
            report.ok(f"kube-apiserver {version} with etcd is ready, with CRDs of Gateway API, Prometheus Operator, External Secrets, the CSI driver and Argo CD")
            for overlay in OVERLAYS:
                attempt(report, f"overlays/{overlay}", check_overlay, cluster, overlay)
            attempt(report, "overlays/production", check_replicas, cluster)
            attempt(report, "overlays/production", check_pod, cluster)
            attempt(report, "overlays/production", check_upgrade, cluster)
            attempt(report, "overlays/dev", check_unknown_field, cluster)
            attempt(report, "chart", check_helm, cluster)
            attempt(report, "chart", check_template, cluster)
            attempt(report, "other files", check_files, cluster)
            if built("kube-controller-manager", "kube-scheduler", "kwok"):
                check_controllers(report, cluster, attempt)
            else:
                report.not_run("rollouts with real controllers", "they are not built: scripts/deploylib/kubelib/build-api-server")
        except CheckError as error:
            report.failed("a real API server", str(error))
        finally:
            cluster.stop()
        check_tokens(report, Path(name))
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
