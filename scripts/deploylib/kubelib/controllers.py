"""Rollouts, scaling, spread and evictions by the real controllers and scheduler, on nodes that kwok plays."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import yaml

from cluster import Cluster
from report import CheckError, Report
from tools import KUSTOMIZE, Object, kustomize, of_kind, one, parse

NAMESPACE = "oauth2-production"


def manifest(image: str = "0.1.0") -> str:
    """The production overlay, whose Pods count as available after 2 s, so that a rollout does not take minutes."""
    objects = parse(kustomize(KUSTOMIZE / "overlays/production").replace("oauth2-server:0.1.0", f"oauth2-server:{image}"))
    one(objects, "Deployment")["spec"]["minReadySeconds"] = 2
    return yaml.safe_dump_all(of_kind(objects, "Namespace") + [each for each in objects if each["kind"] != "Namespace"])


def pods(cluster: Cluster) -> list[Object]:
    items: list[Object] = cluster.get("-n", NAMESPACE, "pods", "-l", "app.kubernetes.io/name=oauth2-server")["items"]
    return items


def ready(pod: Object) -> bool:
    conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def endpoints(cluster: Cluster) -> int:
    slices = cluster.get("-n", NAMESPACE, "endpointslices", "-l", "kubernetes.io/service-name=oauth2-server")["items"]
    return sum(len(each.get("endpoints") or []) for each in slices)


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise CheckError(f"after {seconds:g} s still not: {what}")
        time.sleep(0.3)


def check_first_rollout(cluster: Cluster) -> str:
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true")
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest())
    wait_for("the autoscaler raises the replicas from 1 to 3, and all are ready", lambda: sum(map(ready, pods(cluster))) == 3)
    nodes = Counter(pod["spec"]["nodeName"] for pod in pods(cluster))
    if sorted(nodes.values()) != [1, 1, 1]:
        raise CheckError(f"Pods per node: {dict(nodes)}")
    wait_for("the Service has 3 endpoints", lambda: endpoints(cluster) == 3)
    return "the autoscaler raises a new Deployment to 3 Pods without metrics, one per node and zone; the Service has 3 endpoints"


def check_rolling_update(cluster: Cluster) -> str:
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest("0.2.0"))
    fewest, most = 99, 0

    def done() -> bool:
        nonlocal fewest, most
        seen = pods(cluster)
        fewest = min(fewest, sum(map(ready, seen)))
        most = max(most, len(seen))
        images = {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in seen}
        return images == {"0.2.0"} and sum(map(ready, seen)) == 3

    wait_for("a rolling update to another image ends", done)
    # All replicas, one of the surge, one that ends: the number that `connections` of rules.py counts with.
    if fewest < 3 or most > 5:
        raise CheckError(f"between {fewest} ready and {most} Pods in all during the update")
    cluster.kubectl("-n", NAMESPACE, "rollout", "undo", "deployment/oauth2-server")
    wait_for("`rollout undo` ends", lambda: {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods(cluster)} == {"0.1.0"})
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/oauth2-server", "--timeout=60s")
    check_conflict(cluster)
    return f"a rolling update never has less than {fewest} ready Pods and never more than {most}; `rollout undo` returns to the former image; the next apply needs --force-conflicts once"


def check_conflict(cluster: Cluster) -> None:
    """What docs/operations/kubernetes.md says of an apply after `rollout undo`."""
    done = cluster.try_kubectl("apply", "--server-side", "-f", "-", stdin=manifest("0.3.0"))
    if done.returncode == 0 or 'conflict with "kubectl"' not in done.stderr:
        raise CheckError(f"an apply after `rollout undo` does not name a conflict: {done.stderr}")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest("0.3.0"))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest("0.3.1"))
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/oauth2-server", "--timeout=60s")


def evict(cluster: Cluster, pod: Object) -> tuple[bool, str]:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["metadata"]["name"], "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/eviction"
    done = cluster.try_kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    return done.returncode == 0, done.stderr


def check_evictions(cluster: Cluster) -> str:
    budget = lambda: cluster.get("-n", NAMESPACE, "pdb", "oauth2-server")["status"]  # noqa: E731
    wait_for("the budget allows one disruption", lambda: budget().get("disruptionsAllowed") == 1 and budget()["currentHealthy"] == 3)
    # So that the replacement of the first Pod has to wait.
    cluster.kubectl("cordon", "-l", "kubernetes.io/os=linux")
    first, second, _ = pods(cluster)
    if not (answer := evict(cluster, first))[0]:
        raise CheckError(f"the first eviction is refused: {answer[1]}")
    allowed, text = evict(cluster, second)
    if allowed or "disruption budget" not in text:
        raise CheckError(f"a second eviction at once is not refused by the budget: {text}")
    cluster.kubectl("uncordon", "-l", "kubernetes.io/os=linux")
    wait_for("a new Pod replaces the evicted one", lambda: sum(map(ready, pods(cluster))) == 3)
    return "while an evicted Pod is not replaced, the budget refuses a second eviction; then it is replaced"


def check_cordoned_node(cluster: Cluster) -> str:
    cluster.kubectl("cordon", "node-c")
    wait_for("the taint of the cordoned node", lambda: bool(cluster.get("node", "node-c")["spec"].get("taints")))
    before = Counter(pod["spec"]["nodeName"] for pod in pods(cluster))
    cluster.kubectl("-n", NAMESPACE, "patch", "hpa", "oauth2-hpa", "--type=merge", "-p", '{"spec":{"minReplicas":6}}')
    wait_for("6 Pods are ready, with one of three nodes cordoned", lambda: sum(map(ready, pods(cluster))) == 6)
    added = Counter(pod["spec"]["nodeName"] for pod in pods(cluster)) - before
    cluster.kubectl("uncordon", "node-c")
    if added["node-c"] or sum(added.values()) != 3:
        raise CheckError(f"Pods that were added per node: {dict(added)}")
    return f"with node-c cordoned, 3 more Pods are scheduled on the others: {', '.join(f'{name} {count}' for name, count in sorted(added.items()))}"


def check_controllers(report: Report, cluster: Cluster, attempt: Callable[..., Any]) -> None:
    try:
        cluster.start_controllers()
        wait_for("three nodes are ready", lambda: sum(map(ready, cluster.get("nodes")["items"])) == 3)
    except CheckError as error:
        report.failed("controllers, scheduler and nodes", str(error))
        return
    attempt(report, "rollout", check_first_rollout, cluster)
    attempt(report, "rollout", check_rolling_update, cluster)
    attempt(report, "evictions", check_evictions, cluster)
    attempt(report, "spread", check_cordoned_node, cluster)
