"""Faults that are put into a manifest, each of which a rule must find: a check that cannot fail checks nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable

from rules import RULES
from tools import Object, container, of_kind, one

Change = Callable[[list[Object]], None]


def _pod(objects: list[Object]) -> Object:
    pod: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return pod


def _variable(objects: list[Object], name: str) -> Object:
    found: Object = next(each for each in container(one(objects, "Deployment"))["env"] if each["name"] == name)
    return found


def _add_memory_metric(objects: list[Object]) -> None:
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}}}
    one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"].append(memory)


def _select_by_version(objects: list[Object]) -> None:
    one(objects, "Deployment")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/version"] = "0.1.0"


def _route_to_management(objects: list[Object]) -> None:
    one(objects, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["name"] += "-management"


def _policy(objects: list[Object], name: str) -> Object:
    found: Object = next(each for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"] == f"oauth2-server-{name}")
    return found


NETWORK = "network policies deny first and allow what is used"
FAULTS: dict[str, tuple[str, Change]] = {
    "the tag latest": ("images have a fixed tag", lambda o: container(one(o, "Deployment")).update(image="oauth2-server:latest")),
    "no memory limit": ("requests and limits", lambda o: container(one(o, "Deployment"))["resources"]["limits"].pop("memory")),
    "no readiness probe": ("three probes", lambda o: container(one(o, "Deployment")).pop("readinessProbe")),
    "a probe of an unknown port": ("three probes", lambda o: container(one(o, "Deployment"))["livenessProbe"]["httpGet"].update(port="admin")),
    "a writable root": ("security context", lambda o: container(one(o, "Deployment"))["securityContext"].pop("readOnlyRootFilesystem")),
    "a service account token": ("security context", lambda o: _pod(o).pop("automountServiceAccountToken")),
    "every private address trusted as a proxy": (
        "few addresses are trusted as proxies",
        lambda o: _variable(o, "OAUTH2_SERVER_TRUSTED_PROXIES").update(value="10.0.0.0/8"),
    ),
    "a Secret": ("secrets are files of existing Secrets", lambda o: o.append({"kind": "Secret", "metadata": {"name": "made-up"}})),
    "a password in a URL": (
        "secrets are files of existing Secrets",
        lambda o: _variable(o, "OAUTH2_DATABASE_URL").update(value="postgres://oauth2:secret@db/oauth2"),
    ),
    "secrets for everyone": ("secrets are files of existing Secrets", lambda o: _pod(o)["volumes"][0]["secret"].pop("defaultMode")),
    "a grace period of 15 s": ("grace period fits the shutdown", lambda o: _pod(o).update(terminationGracePeriodSeconds=15)),
    "30 connections per Pod": (
        "connections fit into max_connections",
        lambda o: _variable(o, "OAUTH2_DATABASE_MAX_CONNECTIONS").update(value="30"),
    ),
    "a version in the selector": ("selectors are stable and match", _select_by_version),
    "a Service of other Pods": (
        "selectors are stable and match",
        lambda o: of_kind(o, "Service")[0]["spec"]["selector"].update({"app.kubernetes.io/instance": "other"}),
    ),
    "a route to the admin API": ("ports, routes and the ServiceMonitor match", _route_to_management),
    "another job label": (
        "ports, routes and the ServiceMonitor match",
        lambda o: one(o, "ServiceMonitor")["spec"].update(jobLabel="app.kubernetes.io/component"),
    ),
    "no default deny": (NETWORK, lambda o: o.remove(_policy(o, "default-deny"))),
    "no way to Redis": (NETWORK, lambda o: o.remove(_policy(o, "redis"))),
    "the management port for everyone": (NETWORK, lambda o: _policy(o, "management")["spec"]["ingress"][0].pop("from")),
    "every port of the database": (NETWORK, lambda o: _policy(o, "postgres")["spec"]["egress"][0].pop("ports")),
    "scaling on memory": ("autoscaling without memory, spread, a budget", _add_memory_metric),
    "a number of replicas": ("autoscaling without memory, spread, a budget", lambda o: one(o, "Deployment")["spec"].update(replicas=3)),
    "a budget of none": (
        "autoscaling without memory, spread, a budget",
        lambda o: one(o, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ),
    "a variable before its definition": (
        "variables are defined before their use",
        lambda o: container(one(o, "Deployment"))["env"].insert(0, {"name": "OTEL_SERVICE_NAME", "value": "$(POD_NAME)"}),
    ),
}


def unnoticed(objects: list[Object]) -> list[str]:
    """Faults that their rule does not find."""
    missed = []
    for name, (rule, change) in FAULTS.items():
        faulty = copy.deepcopy(objects)
        change(faulty)
        if not list(RULES[rule](faulty)):
            missed.append(name)
    return missed
