#!/usr/bin/env python3
"""Checks what Compose understood of deploy/compose/compose.yaml (`config --format json`) against the rules of this repository.

usage: rules.py CONFIG.json      prints one line per rule; exits with 1 if one is broken, or if a rule lets its counterexample pass
"""

import copy
import json
import re
import stat
import sys
from pathlib import Path

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|KEY_", re.IGNORECASE)
CREDENTIALS_IN_URL = re.compile(r"://[^/@:]*:[^/@]+@")
PINNED = re.compile(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?$")
PUBLISHES = "proxy"
WITH_WAY_OUT = {"proxy", "alertmanager"}
# Its image has a numeric user, which scripts/deploylib/container checks.
USER_OF_IMAGE = {"server"}


def services(config):
    return config["services"].items()


def images_are_pinned(config):
    return [f"{name}: {service['image']}" for name, service in services(config) if not PINNED.search(service["image"])]


def health_is_checked(config):
    return [name for name, service in services(config) if "healthcheck" not in service and not service.get("labels", {}).get("no-healthcheck")]


def resources_are_limited(config):
    broken = []
    for name, service in services(config):
        resources = service.get("deploy", {}).get("resources", {})
        for kind, wanted in (("limits", {"cpus", "memory", "pids"}), ("reservations", {"cpus", "memory"})):
            missing = wanted - set(resources.get(kind, {}))
            if missing:
                broken.append(f"{name}: {kind} without {', '.join(sorted(missing))}")
    return broken


def only_the_proxy_is_published(config):
    broken = [name for name, service in services(config) if service.get("ports") and name != PUBLISHES]
    open_ports = [port for port in config["services"][PUBLISHES]["ports"] if port.get("host_ip") != "127.0.0.1"]
    if len(open_ports) != 1 or open_ports[0]["target"] != 8443:
        broken.append(f"{PUBLISHES}: other ports than that of TLS are published beyond loopback")
    return broken


def environment_has_no_secret(config, secrets=()):
    broken = []
    for name, service in services(config):
        for key, value in service.get("environment", {}).items():
            if SECRET_NAME.search(key) and not key.endswith("_FILE"):
                broken.append(f"{name}: {key}")
            if CREDENTIALS_IN_URL.search(value or "") or any(secret in (value or "") for secret in secrets):
                broken.append(f"{name}: {key} has a secret in its value")
    return broken


def containers_are_confined(config):
    broken = []
    for name, service in services(config):
        wanted = {
            "cap_drop": service.get("cap_drop") == ["ALL"] and not service.get("cap_add"),
            "no-new-privileges": "no-new-privileges:true" in service.get("security_opt", []),
            "read_only": service.get("read_only") is True,
            "privileged": not service.get("privileged"),
            "network_mode": "network_mode" not in service,
            "user": name in USER_OF_IMAGE or re.fullmatch(r"[1-9]\d*(:\d+)?", service.get("user", "")) is not None,
        }
        broken += [f"{name}: {what}" for what, holds in wanted.items() if not holds]
    return broken


def services_scale(config):
    broken = [f"{name}: container_name" for name, service in services(config) if service.get("container_name")]
    if config["services"]["server"]["deploy"].get("replicas", 1) < 2:
        broken.append("server: fewer than two replicas")
    return broken


def networks_are_internal(config):
    broken = []
    for name, service in services(config):
        open_networks = [each for each in service["networks"] if not config["networks"][each].get("internal")]
        if open_networks and name not in WITH_WAY_OUT:
            broken.append(f"{name}: {', '.join(open_networks)}")
    return broken


def proxy_and_server_share_one_network(config):
    """With two, a name has addresses in both, and the servers see the proxy at an address that they do not trust."""
    shared = set(config["services"][PUBLISHES]["networks"]) & set(config["services"]["server"]["networks"])
    subnet = config["networks"]["frontend"]["ipam"]["config"][0]["subnet"]
    broken = [] if shared == {"frontend"} else [f"in common: {', '.join(sorted(shared))}"]
    if config["services"]["server"]["environment"]["OAUTH2_SERVER_TRUSTED_PROXIES"] != subnet:
        broken.append(f"OAUTH2_SERVER_TRUSTED_PROXIES is not {subnet}")
    return broken


def starts_are_ordered_by_health(config):
    broken = []
    for name, service in services(config):
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] != "service_healthy" or "healthcheck" not in config["services"][other]:
                broken.append(f"{name} on {other}")
    return broken


def mounted_files_exist(config):
    broken = []
    for name, service in services(config):
        for mount in service.get("volumes", []):
            if mount["type"] != "bind":
                continue
            if not Path(mount["source"]).exists():
                broken.append(f"{name}: {mount['source']}")
            if not mount.get("read_only"):
                broken.append(f"{name}: {mount['source']} is writable")
    return broken


def secrets_are_private_files(config):
    broken = []
    for name, secret in config["secrets"].items():
        path = Path(secret.get("file", "/nonexistent"))
        if not path.is_file() or path.stat().st_size == 0:
            broken.append(f"{name}: no file")
        elif stat.S_IMODE(path.stat().st_mode) & 0o337:
            broken.append(f"{name}: mode {stat.S_IMODE(path.stat().st_mode):o}")
    return broken


def pool_fits(config):
    """The server's connections leave room for operators, replication and backups."""
    server = config["services"]["server"]
    wanted = int(server["environment"]["OAUTH2_DATABASE_MAX_CONNECTIONS"]) * server["deploy"]["replicas"] + 20
    for mount in config["services"]["postgres-primary"]["volumes"]:
        if mount["target"].endswith("postgresql.conf"):
            found = re.search(r"^max_connections = (\d+)", Path(mount["source"]).read_text(encoding="utf-8"), re.MULTILINE)
            if found and int(found[1]) >= wanted:
                return []
            return [f"{wanted} connections are more than max_connections = {found and found[1]}"]
    return ["postgresql.conf is not mounted"]


RULES = {
    "every image is pinned by version": images_are_pinned,
    "every service has a health check, or says why not": health_is_checked,
    "every service has limits and reservations": resources_are_limited,
    "no port is published but the proxy's, beyond loopback only TLS": only_the_proxy_is_published,
    "no secret is in the environment": environment_has_no_secret,
    "no capability, no new privileges, read-only root, numeric user": containers_are_confined,
    "nothing keeps the server from being scaled": services_scale,
    "only the proxy and Alertmanager have a way out": networks_are_internal,
    "the servers know the proxy by one network, and trust that": proxy_and_server_share_one_network,
    "each start waits for the health of what it needs": starts_are_ordered_by_health,
    "every mounted file exists and is read-only": mounted_files_exist,
    "every secret is a file that others cannot read": secrets_are_private_files,
    "the pools of all replicas fit into max_connections": pool_fits,
}

# What each rule must reject: a path into the configuration and a value to put there, or None to remove it.
COUNTEREXAMPLES = {
    images_are_pinned: (("services", "redis", "image"), "docker.io/library/redis:latest"),
    health_is_checked: (("services", "redis", "healthcheck"), None),
    resources_are_limited: (("services", "redis", "deploy", "resources", "limits", "memory"), None),
    only_the_proxy_is_published: (("services", "redis", "ports"), [{"target": 6379, "published": "6379"}]),
    environment_has_no_secret: (("services", "server", "environment", "OAUTH2_DATABASE_URL"), "postgres://oauth2:hidden@primary/oauth2"),
    containers_are_confined: (("services", "redis", "cap_add"), ["NET_ADMIN"]),
    services_scale: (("services", "server", "container_name"), "server"),
    networks_are_internal: (("networks", "backend", "internal"), False),
    proxy_and_server_share_one_network: (("services", "proxy", "networks", "backend"), {}),
    starts_are_ordered_by_health: (("services", "server", "depends_on", "redis", "condition"), "service_started"),
    mounted_files_exist: (("services", "prometheus", "volumes", 0, "source"), "/nonexistent/prometheus.yml"),
    secrets_are_private_files: (("secrets", "admin_token", "file"), "/etc/passwd"),
    pool_fits: (("services", "server", "environment", "OAUTH2_DATABASE_MAX_CONNECTIONS"), "50"),
}


def changed(config, path, value):
    result = copy.deepcopy(config)
    place = result
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def main():
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    values = [Path(secret["file"]).read_text(encoding="utf-8").strip() for secret in config["secrets"].values()]
    broken_rules = 0
    for text, rule in RULES.items():
        broken = rule(config, values) if rule is environment_has_no_secret else rule(config)
        if not broken and not rule(changed(config, *COUNTEREXAMPLES[rule])):
            broken = ["the rule lets its counterexample pass"]
        broken_rules += bool(broken)
        print(f"FAILED   compose: {text} - {'; '.join(broken)}" if broken else f"ok       compose: {text}")
    return 1 if broken_rules else 0


if __name__ == "__main__":
    sys.exit(main())
