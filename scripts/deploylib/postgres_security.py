"""TLS with a private authority, pg_hba.conf, passwords, and the old forms that protect less than they seem to."""

from pathlib import Path

from postgres_report import Report, expect, refusal

from drilllib.cluster import Cluster
from drilllib.scratch import Scratch
from drilllib.server import Server


def serial(cluster: Cluster) -> str:
    """The certificate that Postgres presents."""
    shown = cluster.scratch.run(["openssl", "s_client", "-starttls", "postgres", "-connect", f"127.0.0.1:{cluster.port}"], input="")
    return cluster.scratch.must(["openssl", "x509", "-noout", "-serial"], input=shown.stdout)


def certificates(report: Report, cluster: Cluster, server: Server, binary: Path) -> None:
    """The certificate of Postgres is replaced by one of another authority, as a machine in the middle would present."""
    scratch = cluster.scratch
    other = scratch.path / "other"
    scratch.must([scratch.deploy / "postgres/make-certificates", other, "localhost"])
    scratch.must([scratch.deploy / "postgres/make-certificates", cluster.certificates, "db.internal", "10.0.2.7"])
    require = cluster.url("oauth2_server", parameters="sslmode=require")

    def use(directory: Path, name: str) -> None:
        for source, target in ((f"{name}.crt", "server.crt"), (f"{name}.key", "server.key")):
            scratch.must(["cp", "-p", directory / source, cluster.data / target])
        cluster.ask("SELECT pg_reload_conf()")

    with report.check("TLS: a renewed certificate is used after a reload, without a restart"):
        before = serial(cluster)
        scratch.must([scratch.deploy / "postgres/make-certificates", cluster.certificates, "localhost"])
        use(cluster.certificates, "localhost")
        cluster.ask("SELECT 1", "oauth2_owner", "oauth2")
        expect(serial(cluster) != before, "Postgres still presents the old one")
    with report.check("TLS: a certificate of another authority") as seen:
        use(other, "localhost")
        refusal(cluster.run("SELECT 1", "oauth2_owner", "oauth2"), "certificate verify failed")
        doctor = server.command("doctor", role="oauth2_server")
        expect(doctor.returncode != 0 and "authority in sslrootcert" in doctor.stdout + doctor.stderr, f"doctor: {doctor.stdout[-300:]}")
        seen.append("verify-full is refused by psql and by the server, which names the cause")
        cluster.scratch.must([cluster.tools / "psql", "-X", "-c", "SELECT 1"], cluster.libpq("oauth2_owner", "oauth2", PGSSLMODE="require", PGSSLROOTCERT=""))
        expect("unverified (sslmode=require)" in server.command("doctor", role="oauth2_server", url=require).stdout, "doctor does not call require unverified")
        seen.append("the old form sslmode=require accepts it, and doctor calls it unverified")
    with report.check("TLS: a certificate of the same authority for another host") as seen:
        use(cluster.certificates, "db.internal")
        refusal(cluster.run("SELECT 1", "oauth2_owner", "oauth2"), 'does not match host name "localhost"')
        seen.append("verify-full is refused")
        cluster.scratch.must([cluster.tools / "psql", "-X", "-c", "SELECT 1"], cluster.libpq("oauth2_owner", "oauth2", PGSSLMODE="verify-ca"))
        seen.append("verify-ca accepts it")
    use(cluster.certificates, "localhost")


def access(report: Report, cluster: Cluster) -> None:
    with report.check("pg_hba.conf") as seen:
        rejected = "pg_hba.conf rejects connection"
        refusal(cluster.run("SELECT 1", "oauth2_owner", "oauth2", PGSSLMODE="disable"), rejected)
        seen.append("a connection without TLS is refused")
        refusal(cluster.run("SELECT 1", "oauth2_server", "postgres"), rejected)
        seen.append("oauth2_server reaches no other database")
        refusal(cluster.run("SELECT 1", "postgres", "oauth2", PGHOST="localhost", PGSSLMODE="require"), rejected)
        seen.append("a superuser does not come over the network")
        refusal(cluster.run("SELECT 1", "oauth2_owner", "oauth2", PGPASSFILE="/nonexistent", PGPASSWORD="wrong"), "password authentication failed")
        seen.append("a wrong password is refused")
    with report.check("passwords") as seen:
        kinds = cluster.ask("SELECT string_agg(DISTINCT left(rolpassword, 14), ',') FROM pg_authid WHERE rolname LIKE 'oauth2%'")
        expect(kinds == "SCRAM-SHA-256$", f"stored as {kinds}")
        text = cluster.log.read_text()
        for file in cluster.secrets.iterdir():
            expect(file.read_text().strip() not in text, f"the password of {file.name} is in the log")
        seen.append("stored as SCRAM verifiers, and in no line of the log, although DDL is logged")


def old_grant(report: Report, cluster: Cluster) -> None:
    with report.check("old form: GRANT ALL PRIVILEGES ON DATABASE allows no table in the schema public"):
        cluster.ask("CREATE ROLE seed LOGIN")
        cluster.ask("CREATE DATABASE seed")
        cluster.ask("GRANT ALL PRIVILEGES ON DATABASE seed TO seed")
        refusal(cluster.run("SET SESSION AUTHORIZATION seed; CREATE TABLE clients (x int)", database="seed"), "permission denied for schema public")


def rotation(report: Report, cluster: Cluster, server: Server) -> None:
    with report.check("the password of oauth2_server is changed while the server runs") as seen:
        client = server.register("rotation")
        server.start()
        (cluster.secrets / "oauth2_server").unlink()
        cluster.create_roles()
        cluster.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'oauth2_server'")
        # Requests on the connections that were ended get 503 and are repeated.
        for attempt in range(100):
            status, _ = server.request("POST", "/oauth/token", {"grant_type": "client_credentials"}, client)
            if status == 200:
                break
        expect(status == 200, f"the last of 100 token requests got {status}")
        seen.append(f"new connections use the new password; {attempt} token requests got 503, because their connections were ended")


def pool_arithmetic(report: Report, scratch: Scratch) -> None:
    tune = [scratch.deploy / "postgres/tune", "--memory", "8GB", "--cores", "8", "--nodes", "10"]
    with report.check("tune: the pools of all nodes and max_connections") as seen:
        needed = scratch.must([*tune, "--pool", "50"])
        expect("max_connections = '586'" in needed, "10 nodes with a pool of 50 do not need 586 connections")
        fitting = scratch.must([*tune, "--max-connections", "200"])
        expect("OAUTH2_DATABASE_MAX_CONNECTIONS=14" in fitting and "max_connections = '200'" in fitting, "200 connections do not give pools of 14")
        seen.append("10 nodes with a pool of 50 need 586; the old form's 200 allow pools of 14")
        refusal(scratch.run([*tune, "--max-connections", "40"]), "raise it, or use pgbouncer")
        seen.append("40 are refused")


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    cluster = Cluster(scratch, "security", binaries, binaries)
    server = Server(scratch, binary, cluster, "security-server")
    try:
        pool_arithmetic(report, scratch)
        cluster.create()
        cluster.start()
        cluster.create_roles()
        server.must("migrate")
        cluster.grant()
        certificates(report, cluster, server, binary)
        access(report, cluster)
        old_grant(report, cluster)
        rotation(report, cluster, server)
    finally:
        server.stop()
        cluster.stop()
