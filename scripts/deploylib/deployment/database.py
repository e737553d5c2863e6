"""Steps on the hosts of Postgres: postgres.md and replication.md."""

from __future__ import annotations

import time

from hostlib import doc
from hostlib.machines import Deployment

from deployment.hosts import NODES

MAIN = "/var/lib/postgresql/15/main"
CERTIFICATES = "/root/db-ca"


def configure(hosts: Deployment, name: str) -> None:
    """The first block of postgres.md on a host, without its last line, which makes the roles."""
    block = doc.replace(
        doc.block("postgres.md", "deploy/postgres/create-roles"),
        ("db.internal.", f"{name}.internal."),
        # One machine has all hosts.
        ("deploy/postgres/tune >", "deploy/postgres/tune --memory 1GB --cores 2 >"),
    )
    if name != "db-a":
        block = doc.replace(block, ("10.0.2.7", hosts.network.hosts[name].v4))
    hosts[name].run("pg_createcluster 15 main && systemctl start postgresql@15-main", "/")
    hosts[name].run("cp deploy/postgres/conf/primary.conf /etc/postgresql/15/main/conf.d/")
    hosts.copy("admin", f"{CERTIFICATES}/ca.crt", [name], "/root/ca.crt")
    for suffix in ("crt", "key"):
        hosts.copy("admin", f"{CERTIFICATES}/{name}.internal.{suffix}", [name], f"/root/{name}.internal.{suffix}")
    lines = block.splitlines()
    hosts[name].run("\n".join(lines if name == "db-a" else lines[:-2]))


def primary(hosts: Deployment) -> str:
    hosts["admin"].run(doc.block("postgres.md", "make-certificates /root/db-ca db-a.internal"))
    configure(hosts, "db-a")
    hosts["db-a"].run("ss -ltn | grep -F 10.0.2.7:5432")
    files = hosts["db-a"].run("ls /etc/oauth2_server/secrets").split()
    if len(files) != 5:
        raise RuntimeError(f"/etc/oauth2_server/secrets has {files}")
    return "Postgres listens on the internal address, and the five passwords are there"


def schema(hosts: Deployment) -> str:
    hosts.copy("db-a", "/etc/oauth2_server/secrets/oauth2_owner", ["node-1"], "/root/oauth2_owner")
    said = hosts["node-1"].run(doc.block("postgres.md", "oauth2_server migrate"), "/root")
    if "the schema has version" not in said:
        raise RuntimeError(said)
    hosts["db-a"].run(doc.block("postgres.md", "privileges.sql"))
    return said.strip().splitlines()[-1]


def state(hosts: Deployment, name: str) -> str:
    """What replication.sql says on a primary."""
    return hosts[name].run(doc.block("replication.md", "replication/replication.sql"), user="postgres")


def streaming(hosts: Deployment, name: str, standby: str) -> None:
    deadline = time.monotonic() + 60
    while "streaming" not in (said := state(hosts, name)) or standby not in said or "reserved" not in said:
        if time.monotonic() > deadline:
            raise RuntimeError(f"replication.sql on {name}: {said}")
        time.sleep(0.5)


def standby(hosts: Deployment) -> str:
    configure(hosts, "db-b")
    for name in ("db-a", "db-b"):
        hosts.copy("db-a", "/etc/oauth2_server/secrets/oauth2_replication", [name], "/root/oauth2_replication")
        hosts[name].run(doc.block("replication.md", "replication.pgpass)\nchown"), "/root")
    hosts["db-b"].run(f"systemctl stop postgresql@15-main && mkdir {MAIN}.old && mv {MAIN}/* {MAIN}.old/")
    hosts["db-b"].run(doc.block("replication.md", "make-standby db-a.internal"), user="postgres")
    hosts["db-b"].run(doc.block("replication.md", "db-b.internal.crt"), "/root")
    streaming(hosts, "db-a", "standby_b")
    return "replication.sql shows streaming and reserved"


def failover(hosts: Deployment) -> str:
    hosts["db-a"].run("systemctl stop postgresql@15-main")
    began = time.monotonic()
    hosts["db-b"].run(doc.block("replication.md", "replication/promote db-a.internal"))
    token = "curl -sS --fail --cacert /root/ca.pem -u billing:$(cat /root/billing) -d grant_type=client_credentials https://auth.example/oauth/token"
    hosts["admin"].wait_for(token, "tokens after the promotion", 30)
    took = time.monotonic() - began

    hosts["db-a"].run(doc.block("replication.md", "pg_rewind --target-pgdata"), user="postgres")
    hosts["db-a"].run(
        f"install -o postgres -m 600 /root/db-a.internal.crt {MAIN}/server.crt\n"
        f"install -o postgres -m 600 /root/db-a.internal.key {MAIN}/server.key\n"
        "systemctl start postgresql@15-main"
    )
    streaming(hosts, "db-b", "standby_a")
    for name in NODES:
        hosts[name].wait_for(f"curl -sf -o /dev/null http://{hosts.network.hosts[name].v4}:8080/ready", "ready after the failover")
    return f"tokens again {took:.1f} s after the promotion was ordered; the old primary follows the new one"
