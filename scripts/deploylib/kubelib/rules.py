"""Rules of this project for the objects of one deployment. Each returns what is wrong; nothing, if nothing is."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator

from tools import Object, container, describe, environment, of_kind

Rule = Callable[[list[Object]], Iterator[str]]

#: Requests in flight have this long after the drain delay (docs/http.md), and some time more to save counts.
IN_FLIGHT_SECONDS, MARGIN_SECONDS = 4, 3
STABLE_LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def workloads(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "Deployment") + of_kind(objects, "Job") + of_kind(objects, "StatefulSet")


def images(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        image = container(workload)["image"]
        tag = re.search(r"(?::([\w][\w.-]{0,127})|@sha256:[0-9a-f]{64})$", image)
        if not tag or tag[1] == "latest":
            yield f"{describe(workload)}: image {image} needs a tag of a release or a digest"


def resources(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        found = container(workload).get("resources", {})
        for kind in ("requests", "limits"):
            for name in ("cpu", "memory"):
                if name not in found.get(kind, {}):
                    yield f"{describe(workload)}: no {name} in resources.{kind}"


def probes(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        ports = {port["name"] for port in container(deployment)["ports"]}
        for name in PROBES:
            probe = container(deployment).get(name, {}).get("httpGet")
            if not probe:
                yield f"{describe(deployment)}: no {name} over HTTP"
            elif probe["port"] not in ports:
                yield f"{describe(deployment)}: {name} names the port {probe['port']}, which the container has not"


def security(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        pod = workload["spec"]["template"]["spec"]
        own = container(workload).get("securityContext", {})
        wanted = {
            "runAsNonRoot": pod.get("securityContext", {}).get("runAsNonRoot") is True,
            "seccompProfile RuntimeDefault": pod.get("securityContext", {}).get("seccompProfile") == {"type": "RuntimeDefault"},
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
            "capabilities dropped": own.get("capabilities") == {"drop": ["ALL"]},
            "automountServiceAccountToken: false": pod.get("automountServiceAccountToken") is False,
            "enableServiceLinks: false": pod.get("enableServiceLinks") is False,
        }
        for what, holds in wanted.items():
            if not holds:
                yield f"{describe(workload)}: {what} is missing"


def secrets(objects: list[Object]) -> Iterator[str]:
    """Secrets are files, mounted as a directory; no object brings one along."""
    for each in of_kind(objects, "Secret"):
        yield f"{describe(each)}: a manifest must not contain a Secret"
    for workload in workloads(objects):
        pod = workload["spec"]["template"]["spec"]
        mounts = container(workload).get("volumeMounts", [])
        for variable in container(workload)["env"]:
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield f"{describe(workload)}: {variable['name']} is a secret in the environment"
            name, value = variable["name"], variable.get("value", "")
            if re.search(r"//[^/@]*:[^/@]+@", value):
                yield f"{describe(workload)}: {name} contains a password"
            if name.endswith("_FILE") and not any(value.startswith(mount["mountPath"].rstrip("/") + "/") for mount in mounts):
                yield f"{describe(workload)}: {name} names {value}, which is not in a mounted volume"
        for volume in pod.get("volumes", []):
            if "secret" in volume and volume["secret"].get("defaultMode") not in (0o440, 0o400):
                yield f"{describe(workload)}: files of the volume {volume['name']} are readable by everyone"


def duration(value: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s)?", value).groups()  # type: ignore[union-attr]
    return float(number) / (1000 if unit == "ms" else 1)


def ending_seconds(deployment: Object) -> float:
    return duration(environment(deployment).get("OAUTH2_SERVER_DRAIN_DELAY", "1")) + IN_FLIGHT_SECONDS


def shutdown(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
        needed = ending_seconds(deployment) + MARGIN_SECONDS
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if needed > grace:
            yield f"{describe(deployment)}: a Pod takes up to {needed:g} s to end, but is killed after {grace} s"
        rolling = spec.get("strategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
        if rolling and spec.get("minReadySeconds", 0) < ending_seconds(deployment):
            yield f"{describe(deployment)}: minReadySeconds is shorter than the end of a Pod, so several could end at once"
        if "preStop" in container(deployment).get("lifecycle", {}):
            yield f"{describe(deployment)}: a preStop hook delays the 503 of /ready"


def pods_at_once(deployment: Object, replicas: int) -> int:
    """The most Pods of an update: all replicas, the surge, and one that ends."""
    surge = deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "25%")
    more = math.ceil(replicas * int(surge[:-1]) / 100) if isinstance(surge, str) else surge
    return replicas + more + 1


def connections(objects: list[Object]) -> Iterator[str]:
    """Connections to Postgres of all Pods fit into its max_connections. Each Pod has its pool and one connection to listen on."""
    for deployment in of_kind(objects, "Deployment"):
        variables = environment(deployment)
        if not variables.get("OAUTH2_DATABASE_URL", "").startswith("postgres"):
            continue
        notes = deployment["metadata"].get("annotations", {})
        names = [f"oauth2-server/postgres-{kind}-connections" for kind in ("max", "reserved")]
        if not all(name in notes for name in names):
            yield f"{describe(deployment)}: no annotations {' and '.join(names)}"
            continue
        scalers = of_kind(objects, "HorizontalPodAutoscaler")
        replicas = scalers[0]["spec"]["maxReplicas"] if scalers else deployment["spec"].get("replicas", 1)
        pods, pool = pods_at_once(deployment, replicas), int(variables.get("OAUTH2_DATABASE_MAX_CONNECTIONS", "10")) + 1
        allowed = int(notes[names[0]]) - int(notes[names[1]])
        if pods * pool > allowed:
            yield f"{describe(deployment)}: {pods} Pods with {pool} connections each exceed the {allowed} of Postgres that are theirs"


def selectors(objects: list[Object]) -> Iterator[str]:
    """Selectors contain stable labels only, and select the Pods of the server."""
    for deployment in of_kind(objects, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        chosen = {describe(deployment): deployment["spec"]["selector"]["matchLabels"]}
        chosen |= {describe(each): each["spec"]["selector"] for each in of_kind(objects, "Service")}
        chosen |= {describe(each): each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodDisruptionBudget")}
        chosen |= {describe(each): each["spec"]["podSelector"]["matchLabels"] for each in of_kind(objects, "NetworkPolicy")}
        for name, selector in chosen.items():
            if set(selector) != STABLE_LABELS:
                yield f"{name}: selects by {', '.join(sorted(selector))}, not by name and instance"
            elif any(labels.get(key) != value for key, value in selector.items()):
                yield f"{name}: does not select the Pods of the Deployment"


def services(objects: list[Object]) -> Iterator[str]:
    """Ports exist; only the public Service is behind a route; the ServiceMonitor finds the management Service."""
    for deployment in of_kind(objects, "Deployment"):
        ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
        for service in of_kind(objects, "Service"):
            for port in service["spec"]["ports"]:
                if ports.get(port["targetPort"]) != port["port"]:
                    yield f"{describe(service)}: port {port['port']} leads to no port of the container with that number"
    public = {each["metadata"]["name"] for each in of_kind(objects, "Service") if "http" in {port["name"] for port in each["spec"]["ports"]}}
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            if {backend["name"] for backend in rule["backendRefs"]} - public:
                yield f"{describe(route)}: leads to another Service than the public one"
            if {match["path"]["value"] for match in rule["matches"]} - {"/oauth", "/.well-known"}:
                yield f"{describe(route)}: publishes more than /oauth and /.well-known"
    for ingress in of_kind(objects, "Ingress"):
        for path in [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]:
            if path["backend"]["service"]["name"] not in public or path["path"] not in ("/oauth", "/.well-known"):
                yield f"{describe(ingress)}: publishes {path['path']} of {path['backend']['service']['name']}"
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [each for each in of_kind(objects, "Service") if wanted <= each["metadata"]["labels"].items()]
        if [port["name"] for each in found for port in each["spec"]["ports"]] != [monitor["spec"]["endpoints"][0]["port"]]:
            yield f"{describe(monitor)}: selects {[each['metadata']['name'] for each in found]}, not the management Service alone"
        elif found[0]["metadata"]["labels"].get(monitor["spec"].get("jobLabel")) != "oauth2-server":
            yield f"{describe(monitor)}: the job is not oauth2-server, which the alerts select"


def ports_of_urls(deployment: Object) -> set[int]:
    """Ports that the server connects to, by its environment."""
    found = set()
    for name, value in environment(deployment).items():
        if "://" in value and name.endswith(("_URL", "_ENDPOINT")):
            found |= {int(port) for port in re.findall(r":(\d+)(?=[/,?]|$)", value)}
    return found


def network(objects: list[Object]) -> Iterator[str]:
    """Where there are policies: everything is denied first, and each connection of the server is allowed, with peers and ports."""
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return
    if not any(set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"} and not {"ingress", "egress"} & each["spec"].keys() for each in policies):
        yield "no NetworkPolicy denies everything"
    allowed: dict[str, set[int]] = {"ingress": set(), "egress": set()}
    for policy in policies:
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for entry in policy["spec"].get(direction, []):
                if not entry.get(peers) or not all(entry[peers]) or not entry.get("ports"):
                    yield f"{describe(policy)}: a rule without peers or ports allows all of them"
                allowed[direction] |= {port["port"] for port in entry.get("ports") or []}
    for deployment in of_kind(objects, "Deployment"):
        if wrong := allowed["ingress"] ^ {port["containerPort"] for port in container(deployment)["ports"]}:
            yield f"{describe(deployment)}: policies and ports of the container differ in {sorted(wrong)}"
        if missing := (ports_of_urls(deployment) | {53}) - allowed["egress"]:
            yield f"{describe(deployment)}: no policy lets it connect to port {', '.join(map(str, sorted(missing)))}"


def scaling(objects: list[Object]) -> Iterator[str]:
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        if any(metric.get("resource", {}).get("name") == "memory" for metric in spec["metrics"]):
            yield f"{describe(scaler)}: scales on memory, which never shrinks"
        if not {"scaleUp", "scaleDown"} <= spec.get("behavior", {}).keys():
            yield f"{describe(scaler)}: no behavior"
        targets = [each for each in of_kind(objects, "Deployment") if each["metadata"]["name"] == spec["scaleTargetRef"]["name"]]
        if len(targets) != 1:
            yield f"{describe(scaler)}: scales no Deployment of this manifest"
        for deployment in targets:
            if "replicas" in deployment["spec"]:
                yield f"{describe(deployment)}: has replicas, which the autoscaler owns"
            if len(deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])) < 2:
                yield f"{describe(deployment)}: is not spread over zones and nodes"
        for budget in of_kind(objects, "PodDisruptionBudget"):
            if budget["spec"].get("maxUnavailable", 0) not in range(1, spec["minReplicas"]):
                yield f"{describe(budget)}: must allow one eviction and leave one Pod"


def proxies(objects: list[Object]) -> Iterator[str]:
    """A caller from a trusted address chooses the address that limits count: never trust a whole private network."""
    for workload in workloads(objects):
        for network in filter(None, environment(workload).get("OAUTH2_SERVER_TRUSTED_PROXIES", "").replace(",", " ").split()):
            parsed = ipaddress.ip_network(network, strict=False)
            if parsed.num_addresses > 2 ** (8 if parsed.version == 4 else 64):
                yield f"{describe(workload)}: OAUTH2_SERVER_TRUSTED_PROXIES trusts {network}, more than a network of proxies (/24, /64)"


def references(objects: list[Object]) -> Iterator[str]:
    """$(NAME) is replaced by Kubernetes only if NAME stands before it."""
    for workload in workloads(objects):
        for name, value in environment(workload).items():
            for reference in re.findall(r"\$\(\w+\)", value):
                yield f"{describe(workload)}: {name} uses {reference}, which is not defined before it"


RULES: dict[str, Rule] = {
    "images have a fixed tag": images,
    "requests and limits": resources,
    "three probes": probes,
    "security context": security,
    "secrets are files of existing Secrets": secrets,
    "grace period fits the shutdown": shutdown,
    "connections fit into max_connections": connections,
    "selectors are stable and match": selectors,
    "ports, routes and the ServiceMonitor match": services,
    "network policies deny first and allow what is used": network,
    "autoscaling without memory, spread, a budget": scaling,
    "few addresses are trusted as proxies": proxies,
    "variables are defined before their use": references,
}


def violations(objects: list[Object]) -> list[str]:
    return [found for rule in RULES.values() for found in rule(objects)]
