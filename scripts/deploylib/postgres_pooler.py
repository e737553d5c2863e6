"""pgbouncer with deploy/postgres/pgbouncer/pgbouncer.ini in front of Postgres and behind the server."""

import shutil
import time
from pathlib import Path

from postgres_report import Report, expect

from drilllib.cluster import Cluster
from drilllib.scratch import Failed, Scratch, free_port, last_lines
from drilllib.server import Server


def configuration(cluster: Cluster, port: int) -> Path:
    """The shipped file, with the addresses and files of its example replaced."""
    scratch = cluster.scratch
    users = cluster.ask("SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid WHERE rolname = 'oauth2_server'")
    expect(cluster.password("oauth2_server") not in users, "userlist.txt has the password")
    listed = scratch.file("pooler/userlist.txt", users + "\n")
    text = (scratch.deploy / "postgres/pgbouncer/pgbouncer.ini").read_text()
    for old, new in (
        ("host=db.internal port=5432", f"host=localhost port={cluster.port}"),
        ("listen_addr = 10.0.2.7", "listen_addr = 127.0.0.1"),
        ("listen_port = 6432", f"listen_port = {port}"),
        ("/etc/pgbouncer/userlist.txt", str(listed)),
        ("/etc/pgbouncer/server.key", str(cluster.certificates / "localhost.key")),
        ("/etc/pgbouncer/server.crt", str(cluster.certificates / "localhost.crt")),
        ("/etc/pgbouncer/ca.crt", str(cluster.certificates / "ca.crt")),
    ):
        expect(old in text, f"pgbouncer.ini has no longer {old}")
        text = text.replace(old, new)
    return scratch.file("pooler/pgbouncer.ini", text)


def wait(process, log: Path, port: int) -> None:
    import socket

    for _ in range(100):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"pgbouncer does not listen: {last_lines(log.read_text())}")


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        report.not_run("pgbouncer", "it is not installed")
        return
    cluster = Cluster(scratch, "pooled", binaries, binaries)
    port, log = free_port(), scratch.path / "pgbouncer.log"
    server = Server(scratch, binary, cluster, "pooled-server", {"OAUTH2_DATABASE_POOLER": "transaction"})
    undeclared = Server(scratch, binary, cluster, "undeclared")
    process = None
    try:
        cluster.create()
        cluster.start()
        cluster.create_roles()
        server.variables["OAUTH2_DATABASE_LISTEN_URL"] = cluster.url("oauth2_server")
        migrating = Server(scratch, binary, cluster, "pooled-migration")
        migrating.must("migrate")
        scratch.must([binaries / "psql", "-X", "-q", "-f", scratch.deploy / "postgres/privileges.sql"], cluster.libpq(database="oauth2"))
        url = cluster.url("oauth2_server", hosts=f"localhost:{port}")
        with report.check("pgbouncer.ini: starts, TLS on both sides, a SCRAM verifier in place of a password"):
            process = scratch.start([program, configuration(cluster, port)], log)
            wait(process, log, port)
        with report.check("pgbouncer: a server with OAUTH2_DATABASE_POOLER=transaction") as seen:
            client = migrating.register("pooled")
            server.start(url=url)
            token = server.token(client)
            expect(server.is_active(client, token), "the token is not active")
            server.revoke(client, token)
            expect(not server.is_active(client, token), "the revoked token is active")
            held = cluster.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'oauth2_server'")
            seen.append(f"token obtained and revoked over {held} connections to Postgres")
        with report.check("pgbouncer: a server that does not declare it is refused") as seen:
            done = undeclared.command("token", "cutoffs", role="oauth2_server", url=url)
            expect(done.returncode == 3 and "OAUTH2_DATABASE_POOLER=transaction" in done.stderr, f"exit code {done.returncode}: {last_lines(done.stderr)}")
            seen.append("exit code 3, and the message names the setting")
    except Failed as error:
        report.failed("pgbouncer", error)
    finally:
        server.stop()
        if process is not None:
            scratch.end(process)
        cluster.stop()
