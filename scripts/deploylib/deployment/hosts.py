"""The hosts of the table in docs/operations/first-deployment.md."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from hostlib import container, netns
from hostlib.machines import Deployment

REPOSITORY = Path(__file__).resolve().parents[3]
NODES = ("node-1", "node-2", "node-3")
ADDRESSES = {"db-a": "10.0.2.7", "db-b": "10.0.2.8", "node-1": "10.0.1.10", "node-2": "10.0.1.11", "node-3": "10.0.1.12", "proxy": "10.0.1.2", "admin": "10.0.3.5"}
#: Names and addresses. `db.internal` moves after a failover.
NAMES = {"db-a.internal": "10.0.2.7", "db.internal": "10.0.2.7", "db-b.internal": "10.0.2.8", "auth.example": "10.0.1.2"}
PROGRAMS = ("git", "haproxy", "prometheus", "prometheus-alertmanager", "promtool", "amtool", "pg_createcluster", "age", "jq", "curl", "openssl", "runuser")


def missing() -> str | None:
    """Why the hosts cannot be made here, if so."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} are not installed"
    if not Path("/usr/lib/postgresql/15/bin/postgres").exists():
        return "Postgres 15 of Debian is not installed"
    return container.missing() or netns.missing_rights()


def repository(target: Path) -> None:
    """A repository with the files of this tree, committed or not."""
    target.mkdir()
    for name in ("deploy", "alerts", "loadtest"):
        shutil.copytree(REPOSITORY / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "secrets", "results"))
    git = ["git", "-C", str(target), "-c", "user.name=check", "-c", "user.email=check@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "--all", "--force"], ["commit", "-q", "-m", "Files of the check"]):
        subprocess.run([*git, *command], check=True, capture_output=True, timeout=60)


def prepared(directory: Path, server: Path) -> Deployment:
    """The hosts, as Debian's packages leave them, not yet booted."""
    hosts = Deployment(directory, ADDRESSES, NAMES)
    repository(hosts.files / "repository")
    # Without debug information: each host gets a copy.
    subprocess.run(["strip", "-o", str(hosts.files / "oauth2_server"), str(server)], check=True, capture_output=True, timeout=120)
    (hosts.files / "oauth2_server").chmod(0o755)
    return hosts
