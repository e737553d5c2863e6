"""Steps of backups and restores: backup.md and disaster-recovery.md."""

from __future__ import annotations

import re

from hostlib import doc
from hostlib.machines import Deployment

from deployment.hosts import NODES
from deployment.nodes import ready, subcommand


def backups(hosts: Deployment) -> str:
    hosts["admin"].run(doc.block("backup.md", "age-keygen -y"), "/root/safe")
    machine = hosts["db-a"]
    hosts.copy("admin", "/root/safe/backup.recipients", ["db-a"], "/etc/oauth2_server/backup.recipients", 0o644)
    # The drill is the next step.
    machine.run(re.sub(r"(?m)^runuser -u postgres -- deploy/backup/drill.*\n", "", doc.block("backup.md", "runuser -u postgres -- deploy/backup/backup-postgres")))
    machine.run("ls /var/backups/oauth2_server/oauth2-postgres-*.age.sha256")
    settings = doc.block("backup.md", "archive_command", "ini")
    machine.run(f"cat >/etc/postgresql/15/main/conf.d/archive.conf <<'END'\n{settings}END\nsystemctl restart postgresql@15-main")
    for name in NODES:
        hosts[name].wait_for(f"curl -sf -o /dev/null http://{hosts.network.hosts[name].v4}:8080/ready", "ready after the restart of Postgres")
    machine.run("cp -r deploy/backup/systemd/* /etc/systemd/system/ && systemctl daemon-reload")
    machine.run("systemctl enable --now oauth2-backup-postgres.timer oauth2-base-backup.timer oauth2-backup-drill.timer")
    machine.run("systemctl start oauth2-backup@base-backup", timeout=180)
    said = machine.run(f"psql -X -A -t <<'END'\n{doc.block('backup.md', 'pg_stat_archiver', 'sql')}END", user="postgres").strip().split("|")
    if not said[0] or said[2] != "0":
        raise RuntimeError(f"pg_stat_archiver: {said}")
    return "a dump with its checksum, a base backup by its unit, and an archive without failures"


def in_place(hosts: Deployment) -> None:
    """The third step of the restore, after which the servers use the restored database."""
    for name in NODES:
        hosts[name].run("systemctl stop oauth2-server")
    *renamed, doctor = doc.block("disaster-recovery.md", "RENAME TO oauth2_empty").splitlines()
    hosts["db-a"].run("\n".join(renamed), user="postgres")
    for name in NODES:
        hosts[name].run("systemctl start oauth2-server")
        ready(hosts, name)
    said = subcommand(hosts, "node-1", doctor.removeprefix("oauth2_server "))
    if not said.startswith("exit code 0"):
        raise RuntimeError(said)


def drill(hosts: Deployment) -> str:
    machine = hosts["db-a"]
    said = machine.run(doc.block("disaster-recovery.md", "deploy/backup/drill\n"), user="postgres", timeout=300)
    # A restore of the backup of this deployment, up to the second step.
    machine.run("install -d -o postgres -m 700 /run/restore")
    for index, name in enumerate(NODES[:2]):
        log = hosts[name].run("journalctl -u oauth2-server -o cat")
        hosts["db-a"].run(f"cat >/run/restore/node-{'ab'[index]}.jsonl <<'END'\n{log}\nEND")
    hosts.copy("admin", "/root/safe/key_encryption_key", ["db-a"], "/var/lib/postgresql/key_encryption_key", 0o644)
    hosts.copy("admin", "/root/safe/backup.identity", ["db-a"], "/var/lib/postgresql/backup.identity", 0o644)
    machine.run("install -o postgres -m 600 /var/lib/postgresql/key_encryption_key /var/lib/postgresql/backup.identity /run/restore/")
    name = machine.run("basename /var/backups/oauth2_server/oauth2-postgres-*.dump.age").strip()
    block = doc.replace(doc.block("disaster-recovery.md", "deploy/backup/restore-postgres"), ("oauth2-postgres-20261130T021500Z.dump.age", name))
    restored = machine.run(block, user="postgres")
    if "2 clients" not in restored:
        raise RuntimeError(f"restore-postgres: {restored}")
    in_place(hosts)
    figures = " ".join(re.findall(r"(?m)^\w+: RPO [0-9.]+ s, RTO [0-9.]+ s", said))
    return f"the drill: {figures}; the dump restored next to the database in use has the clients, and took its place"
