"""Steps on the hosts of the server: first-deployment.md, systemd.md, clients-as-files.md, checklist.md."""

from __future__ import annotations

import re

from hostlib import doc
from hostlib.machines import Deployment

from deployment.hosts import NODES

ENVIRONMENT = "/etc/oauth2-server/oauth2-server.env"
CREDENTIALS = "/etc/oauth2-server/credentials"


def checkout(hosts: Deployment) -> str:
    block = doc.replace(doc.block("first-deployment.md", "git clone"), ("REPOSITORY", "/check/repository"))
    for name, machine in hosts.machines.items():
        lines = block.splitlines()
        machine.run("\n".join(lines if name.startswith(("db", "node")) else lines[:1]), "/check")
    return f"{len(hosts.machines)} hosts with systemd as PID 1"


def install(hosts: Deployment, name: str, first: bool) -> None:
    """The block of systemd.md, without the start."""
    hosts.copy("db-a", "/etc/oauth2_server/secrets/oauth2_server", [name], "/root/password-of-the-database")
    hosts.copy("admin", "/root/db-ca/ca.crt", [name], "/root/ca.crt")
    block = doc.replace(doc.block("systemd.md", "systemd-sysusers oauth2-server.conf"), ("systemctl enable --now oauth2-server\n", ""),
                        ("deploy/systemd", "/opt/oauth2_server/deploy/systemd"))
    if not first:
        block = re.sub(r"(?ms)^\(umask 077 .*?admin_token\)\n", "", block)
    hosts[name].run(block, "/root")
    if not first:
        for secret in ("key_encryption_key", "admin_token"):
            hosts.copy("node-1", f"{CREDENTIALS}/{secret}", [name], f"{CREDENTIALS}/{secret}")
    # The table of systemd.md, with the values of haproxy.md.
    address = hosts.network.hosts[name].v4
    behind_proxy = doc.variables(doc.block("haproxy.md", "export OAUTH2_SERVER_HOST"))
    settings = {**behind_proxy, "OAUTH2_SERVER_HOST": address, "OAUTH2_MANAGEMENT_HOST": address}
    edits = "".join(f"sed -i 's|^{key}=.*|{key}={value}|' {ENVIRONMENT}\ngrep -qx '{key}={value}' {ENVIRONMENT}\n" for key, value in settings.items())
    hosts[name].run(edits + f"echo OAUTH2_LIMITS_TOKEN=10000/s >>{ENVIRONMENT}")


def first_settings(hosts: Deployment) -> str:
    install(hosts, "node-1", first=True)
    # The copy in a safe.
    hosts.copy("node-1", f"{CREDENTIALS}/key_encryption_key", ["admin"], "/root/safe/key_encryption_key")
    return "a key encryption key, of which a copy is kept, and the settings of the table"


def ready(hosts: Deployment, name: str) -> None:
    hosts[name].wait_for(f"curl -sf http://{hosts.network.hosts[name].v4}:8080/ready | grep -F '\"status\":\"ready\"'", "ready")


def start(hosts: Deployment) -> str:
    for name in NODES:
        if name != "node-1":
            install(hosts, name, first=False)
        hosts[name].run("systemctl enable --now oauth2-server")
        ready(hosts, name)
    return "each node is ready"


def follow(hosts: Deployment) -> str:
    setting = doc.block("replication.md", "OAUTH2_DATABASE_URL='postgres://oauth2_server@db-a.internal,db-b.internal").strip().replace("'", "")
    for name in NODES:
        hosts[name].run(f"sed -i '/^OAUTH2_DATABASE_URL=/d' {ENVIRONMENT}\ncat >>{ENVIRONMENT} <<'END'\n{setting}\nEND\nsystemctl restart oauth2-server")
        ready(hosts, name)
    return "each node is ready again"


def subcommand(hosts: Deployment, name: str, command: str, directory: str = "") -> str:
    """A subcommand with the settings and secrets of the unit, as systemd.md has it."""
    block = doc.replace(doc.block("systemd.md", "systemd-run --pipe"), ("doctor --production", command))
    if directory:
        block = doc.replace(block, ("--collect ", f"--collect -p WorkingDirectory={directory} "))
    done = hosts[name].try_run(block)
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def clients(hosts: Deployment) -> str:
    node, directory = hosts["node-1"], "/etc/oauth2-server/clients"
    node.run(f"install -d -m 750 -g oauth2-server {directory}")
    made, *applied = doc.block("clients-as-files.md", "oauth2_server apply -f clients.yaml\n").splitlines()
    node.run(f"{made}\nchgrp -R oauth2-server secrets && chmod -R g+rX secrets\ncat >clients.yaml <<'END'\n{doc.block('clients-as-files.md', 'owner: payments', 'yaml')}END", directory)
    said = [subcommand(hosts, "node-1", line.removeprefix("oauth2_server "), directory) for line in [*applied[:2], applied[1]]]
    if "2 to create" not in said[0] or "2 created" not in said[1] or "2 unchanged" not in said[2]:
        raise RuntimeError("; ".join(said))
    hosts.copy("node-1", f"{directory}/secrets/billing", ["admin"], "/root/billing")
    hosts["admin"].run("curl -sS --fail --cacert /root/ca.pem -u billing:$(cat /root/billing) -d grant_type=client_credentials https://auth.example/oauth/token | grep access_token")
    return "applied, a second time 2 unchanged; a token through the proxy"


def judgement(hosts: Deployment) -> str:
    line = doc.replace(doc.block("checklist.md", "doctor --production").strip(), ("--nodes 4 --backup /var/backups/oauth2_server", "--nodes 3"), ("oauth2_server ", ""))
    said = subcommand(hosts, "node-1", line)
    explained = re.findall(r"(?m)^\| `([\w ]+)` warning \|", (doc.PAGES / "first-deployment.md").read_text())
    odd = [row for row in said.splitlines() if re.match(r"(FAILED|warning)", row) and not any(re.match(rf"warning +{name}\b", row) for name in explained)]
    if odd or not said.startswith("exit code 0"):
        raise RuntimeError(said)
    return "no line FAILED, and each warning is in the table of the page"
