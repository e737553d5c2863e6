"""Each version of Postgres: roles, privileges, the server as the role with the least, what is refused, views, tuned settings."""

import re
from pathlib import Path

from hostlib import doc
from postgres_report import Failed, Report, expect, refusal, tools

from drilllib.cluster import Cluster
from drilllib.scratch import Scratch, last_lines
from drilllib.server import Server

# What each role must not do, and the reason that Postgres must give.
REFUSED = {
    "oauth2_server": {
        "DROP TABLE clients": "must be owner of table clients",
        "ALTER TABLE clients ADD COLUMN x int": "must be owner of table clients",
        "TRUNCATE revocations": "permission denied for table revocations",
        "UPDATE revocations SET cutoff_ms = 0": "permission denied for table revocations",
        "UPDATE audit_log SET actor = 'nobody'": "permission denied for table audit_log",
        "DELETE FROM cutoff_corrections": "permission denied for table cutoff_corrections",
        "INSERT INTO log_epochs VALUES (9, 9)": "permission denied for table log_epochs",
        "DELETE FROM refinery_schema_history": "permission denied for table refinery_schema_history",
        "CREATE SCHEMA x": "permission denied for database oauth2",
        "CREATE EXTENSION pg_trgm": 'permission denied to create extension "pg_trgm"',
        "CREATE ROLE x": "permission denied to create role",
        "SET ROLE oauth2_owner": 'permission denied to set role "oauth2_owner"',
        "CREATE TEMPORARY TABLE x (y int)": "permission denied to create temporary tables",
        "COPY clients TO PROGRAM 'cat'": "to COPY to or from an external program",
        "SELECT pg_read_file('postgresql.conf')": "permission denied for function pg_read_file",
        "ALTER SYSTEM SET fsync = off": 'permission denied to set parameter "fsync"',
        "SELECT rolpassword FROM pg_authid": "permission denied for table pg_authid",
    },
    "oauth2_readonly": {
        "DELETE FROM clients": "permission denied for table clients",
        "SELECT hash FROM client_secrets": "permission denied for table client_secrets",
        "SELECT sealed_private_key FROM signing_keys": "permission denied for table signing_keys",
        "SELECT secret_hash FROM tokens": "permission denied for table tokens",
        "SELECT value FROM remembered": "permission denied for table remembered",
        "SELECT * FROM tokens_default": "permission denied for table tokens_default",
        "SELECT log_position()": "permission denied for function log_position",
        "CREATE TABLE x (y int)": "permission denied for schema public",
    },
    "oauth2_backup": {
        "DELETE FROM clients": "permission denied for table clients",
        "CREATE TABLE x (y int)": "permission denied for schema public",
    },
    "oauth2_replication": {"SELECT 1": "pg_hba.conf rejects connection"},
}


def serves(report: Report, cluster: Cluster, server: Server, version: int) -> bool:
    """Roles, migration, privileges, and a server as oauth2_server. Whether the rest can be checked."""
    before = report.has_failed
    with report.check(f"Postgres {version}: roles.sql, migrate as oauth2_owner over verify-full, privileges.sql, each twice") as seen:
        for _ in range(2):
            cluster.create_roles()
            server.must("migrate")
            cluster.grant()
        seen.append(cluster.ask("SHOW server_version"))
    with report.check(f"Postgres {version}: `serve --no-migrate` as oauth2_server") as seen:
        client = server.register("first")
        server.start()
        token = server.token(client)
        expect(server.is_active(client, token), "the token is not active")
        server.revoke(client, token)
        expect(not server.is_active(client, token), "the revoked token is active")
        seen.append("token obtained, active, revoked, inactive")
        doctor = server.command("doctor", role="oauth2_server")
        expect(doctor.returncode == 0, f"doctor: {last_lines(doctor.stdout, 30)}")
        expect("certificate authority and host name verified" in doctor.stdout, "doctor does not report verify-full")
        seen.append("doctor passes and reports verify-full")
    return report.has_failed == before


# Everything that changes rows, so that a privilege that is missing shows.
COMMANDS = (
    ("client", "update", "second", "--quota", "day=10", "--name", "Second"),
    ("client", "rotate-secret", "second"),
    ("client", "usage", "second"),
    ("token", "issue", "--client", "second", "--count", "2", "--out", "-"),
    ("token", "list", "--client", "second"),
    ("token", "revoke", "--client", "second"),
    ("client", "disable", "second"),
    ("client", "enable", "second"),
    ("client", "delete", "second"),
    ("key", "rotate"),
    ("key", "list"),
    ("token", "revoke", "--all"),
    ("token", "cutoffs"),
    ("audit", "list"),
    ("client", "export", "-", "--format", "jsonl"),
)


def commands(report: Report, server: Server, version: int) -> None:
    with report.check(f"Postgres {version}: subcommands as oauth2_server") as seen:
        server.register("second")
        for words in COMMANDS:
            server.must(*words, role="oauth2_server")
        text = server.log.read_text()
        expect("permission denied" not in text and "must be owner" not in text, f"the log of the server: {last_lines(text)}")
        seen.append(f"{len(COMMANDS) + 1} of them need no more rights, and the log of the server names none")


def partitions(report: Report, cluster: Cluster, server: Server, version: int) -> None:
    """What the running server creates later must be readable by pg_dump, and stay changeable by migrations."""
    with report.check(f"Postgres {version}: partitions") as seen:
        owned = cluster.ask("SELECT count(*), string_agg(DISTINCT owner, ',') FROM monitoring.partitions WHERE partition <> 'tokens_default'", database="oauth2")
        count, owner = owned.split("|")
        expect(int(count) >= 2 and owner == "oauth2_server", f"partitions and owners: {owned}")
        seen.append(f"the server created {count} after the grants")
        unreadable = cluster.ask("SELECT string_agg(partition, ',') FROM monitoring.partitions WHERE NOT has_table_privilege('oauth2_backup', "
                                 "('public.' || partition)::regclass, 'SELECT')", database="oauth2")
        expect(unreadable == "", f"oauth2_backup cannot read {unreadable}")
        seen.append("oauth2_backup can read them")
        cluster.ask("BEGIN; ALTER TABLE tokens ADD COLUMN probe int; ROLLBACK", "oauth2_owner", "oauth2")
        seen.append("oauth2_owner can change their columns")
        drop = cluster.ask("SELECT partition FROM monitoring.partitions WHERE partition <> 'tokens_default' LIMIT 1", database="oauth2")
        cluster.ask(f"BEGIN; DROP TABLE {drop}; ROLLBACK", "oauth2_server", "oauth2")
        seen.append("oauth2_server can drop them")


def refused(report: Report, cluster: Cluster, version: int) -> None:
    with report.check(f"Postgres {version}: least privilege") as seen:
        for role, statements in REFUSED.items():
            for sql, reason in statements.items():
                try:
                    # The role's default of read-only transactions may be switched off by anybody: it is no protection.
                    refusal(cluster.run(sql, role, "oauth2", PGOPTIONS="-c default_transaction_read_only=off"), reason)
                except Failed as error:
                    raise Failed(f"{role}: {sql}: {error}") from None
            seen.append(f"{len(statements)} statements of {role} refused")
        for table in ("clients", "tokens", "audit_log", "revocations"):
            cluster.ask(f"SELECT count(*) FROM {table}", "oauth2_readonly", "oauth2")
        seen.append("oauth2_readonly reads clients, tokens and logs")


def views(report: Report, cluster: Cluster, version: int) -> None:
    with report.check(f"Postgres {version}: monitoring.sql and statements.sql, each twice") as seen:
        for _ in range(2):
            cluster.file(cluster.scratch.deploy / "postgres/monitoring.sql")
            cluster.file(cluster.scratch.deploy / "postgres/statements.sql", database="postgres")
        for view in ("indexes", "unused_indexes", "tables", "partitions", "connections"):
            rows = int(cluster.ask(f"SELECT count(*) FROM monitoring.{view}", "oauth2_readonly", "oauth2"))
            expect(rows > 0 or view == "unused_indexes", f"monitoring.{view} is empty")
        cluster.ask("SELECT * FROM monitoring.blocked", "oauth2_readonly", "oauth2")
        slow = cluster.ask("SELECT count(*) FROM monitoring.slow_statements WHERE role = 'oauth2_server' AND query LIKE 'INSERT INTO tokens%'",
                           "oauth2_readonly", "postgres")
        expect(int(slow) >= 1, "monitoring.slow_statements does not show the INSERT of tokens")
        # The queries of the page, each in the database that it names.
        queries = {"postgres": doc.block("troubleshooting.md", "monitoring.slow_statements", "sql"), "oauth2": doc.block("troubleshooting.md", "pg_stat_user_indexes", "sql")}
        for database, block in queries.items():
            for query in filter(str.strip, block.split(";\n")):
                cluster.ask(query, "oauth2_readonly", database)
        seen.append("the queries of troubleshooting.md run as oauth2_readonly")
        seen.append("oauth2_readonly sees indexes, tables, partitions, connections, and the INSERT of tokens among the slow statements")
    with report.check(f"Postgres {version}: old form `SELECT tablename FROM pg_stat_user_indexes` is refused"):
        refusal(cluster.run("SELECT tablename FROM pg_stat_user_indexes"), 'column "tablename" does not exist')


def tuned(report: Report, cluster: Cluster, version: int) -> None:
    """The output of `tune` starts Postgres, and its marks are those of Postgres itself."""
    with report.check(f"Postgres {version}: tune") as seen:
        tune = cluster.scratch.deploy / "postgres/tune"
        text = cluster.scratch.must([tune, "--memory", "2GB", "--cores", "2", "--version", str(version)])
        values = dict(re.findall(r"^(\w+) = '(.*)'$", text, re.M))
        marked = {name for name, mark in re.findall(r"^# .*?( \[restart\])?\n(\w+) = ", text, re.M) for name, mark in [(mark, name)] if mark}
        listed = ",".join(f"'{name}'" for name in values)
        actual = set(cluster.ask(f"SELECT name FROM pg_settings WHERE context = 'postmaster' AND name IN ({listed})").split())
        expect(marked == actual, f"marked [restart]: {sorted(marked)}; by pg_settings: {sorted(actual)}")
        seen.append(f"{len(values)} settings, {len(marked)} of them marked [restart] as pg_settings has it")
        # As an operator would: into the configuration, a reload, then a restart.
        cluster.settings.pop("max_connections")
        cluster.scratch.file(f"{cluster.name}/data/tuned.conf", text)
        with open(cluster.data / "postgresql.conf", "a") as file:
            file.write("include 'tuned.conf'\n")
        buffers = cluster.ask("SHOW shared_buffers")
        cluster.ask("SELECT pg_reload_conf()")
        pending = ""
        for _ in range(50):
            pending = cluster.ask("SELECT string_agg(name, ',' ORDER BY name) FROM pg_settings WHERE pending_restart")
            if pending:
                break
        expect("shared_buffers" in pending and cluster.ask("SHOW shared_buffers") == buffers, f"pending: {pending}")
        seen.append(f"pg_reload_conf() leaves {pending} pending")
        cluster.stop()
        cluster.start()
        expect(cluster.ask("SHOW shared_buffers") == "512MB", f"shared_buffers is {cluster.ask('SHOW shared_buffers')}")
        seen.append("a restart applies them")


def old_promotion(report: Report, cluster: Cluster, version: int) -> None:
    done = cluster.scratch.run([cluster.server_binaries / "postgres", "-D", cluster.data, "-C", "data_directory", "-c", "promote_trigger_file=/tmp/x"])
    if version >= 16:
        with report.check(f"Postgres {version}: old form promote_trigger_file is refused"):
            refusal(done, 'unrecognized configuration parameter "promote_trigger_file"')


def check(report: Report, scratch: Scratch, version: int, binaries: Path, binary: Path) -> None:
    cluster = Cluster(scratch, f"v{version}", binaries, tools())
    server = Server(scratch, binary, cluster, f"server{version}")
    try:
        with report.check(f"Postgres {version}: starts with oauth2.conf, primary.conf, pg_hba.conf and a certificate of a private authority"):
            cluster.create()
            cluster.start()
        if cluster.process is None or cluster.process.poll() is not None or not serves(report, cluster, server, version):
            return
        views(report, cluster, version)
        partitions(report, cluster, server, version)
        commands(report, server, version)
        refused(report, cluster, version)
        old_promotion(report, cluster, version)
        tuned(report, cluster, version)
    finally:
        server.stop()
        cluster.stop()
