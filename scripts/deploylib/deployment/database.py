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
    # The same without a standby, and a larger machine.
    hosts["admin"].run(doc.replace(doc.block("postgres.md", "make-certificates /root/db-ca db.internal"), ("/root/db-ca", "/root/ca-of-one-host")))
    larger = hosts["db-a"].run(doc.block("postgres.md", "tune --memory 16GB"))
    if "shared_buffers = '4096MB'" not in larger:
        raise RuntimeError(f"tune for a larger machine: {larger}")
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


def query(hosts: Deployment, name: str, sql: str) -> str:
    return hosts[name].run(f"psql -X -A -t <<'END'\n{sql}\nEND", user="postgres").strip()


def views(hosts: Deployment) -> str:
    """The queries of the page as the superuser, and its views from an administrator's machine as oauth2_readonly."""
    pending = query(hosts, "db-a", doc.block("postgres.md", "pending_restart", "sql"))
    if pending:
        raise RuntimeError(f"settings that need a restart: {pending}")
    verifier = query(hosts, "db-a", doc.block("postgres.md", "rolpassword", "sql"))
    if not verifier.startswith('"oauth2_server" "SCRAM-SHA-256$'):
        raise RuntimeError("the verifier of oauth2_server is no SCRAM-SHA-256")
    lines = doc.block("postgres.md", "statements.sql").splitlines()
    hosts["db-a"].run("\n".join(lines[:2]))
    hosts.copy("db-a", "/etc/oauth2_server/secrets/oauth2_readonly", ["admin"], "/root/oauth2_readonly")
    said = hosts["admin"].run(
        "(umask 077; printf '*:*:*:oauth2_readonly:%s\\n' \"$(cat /root/oauth2_readonly)\" >/root/pgpass)\n"
        "export PGHOST=db.internal PGSSLMODE=verify-full PGSSLROOTCERT=/root/db-ca/ca.crt PGPASSFILE=/root/pgpass\n" + "\n".join(lines[2:])
    )
    if "mean_ms" not in said or "(10 rows)" not in said:
        raise RuntimeError(f"the slow statements: {said}")
    return "asked as oauth2_readonly from the administrator's machine, with verified TLS"


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
    query(hosts, "db-b", doc.block("replication.md", "ALTER SYSTEM SET synchronous_standby_names", "sql"))

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
