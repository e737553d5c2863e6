"""Two versions of the server on one schema: an upgrade of every node under load, back in one step, and forward again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from .cluster import Cluster
from .haproxy import HAProxy, binaries
from .programs import ROOT, Programs, run, wait_for
from .report import NotRun, Report, expect
from .restarts import restart_by_signal, under_load
from .suite import Suite
from .wire import basic, make_certificate

MIGRATIONS = ROOT / "migrations/postgres"
#: The longest time, in seconds, until another node hears of a revocation without a bus: 500 ms, and more on a busy machine.
HEARD = 5.0


def migration(path: Path) -> int:
    return int(re.match(r"V(\d+)__", path.name)[1])  # type: ignore[index]


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NotRun(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def before_newest_migration() -> str:
    """The parent of the commit that added the newest migration. It stands for the previous release where there is none."""
    newest = max(MIGRATIONS.glob("V*__*.sql"), key=migration)
    added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(newest))
    if not added:
        raise NotRun(f"git does not know the commit that added {newest.name}")
    return f"{added}~1"


def build(revision: str) -> Path:
    """The server of a revision, built once into target/previous. Compiled dependencies are shared with this tree."""
    commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")[:12]
    home = ROOT / "target/previous" / commit
    binary = home / "oauth2_server"
    if binary.exists():
        return binary
    # Always the same directory: Cargo knows the packages of a workspace by their path.
    source = home / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, timeout=60, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", str(source)], input=archive, timeout=60, check=True)
    shared = os.environ.get("CARGO_TARGET_DIR") or str(ROOT / "target")
    environment = {**os.environ, "CARGO_BUILD_BUILD_DIR": shared, "CARGO_TARGET_DIR": str(home / "target")}
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", "oauth2_server"], cwd=source, env=environment, timeout=3600, check=True)
    shutil.copy2(home / "target/debug/oauth2_server", binary)
    for leftover in (source, home / "target"):
        shutil.rmtree(leftover)
    return binary


def find_previous(binary: str | None, revision: str | None) -> Path:
    if revision:
        return build(before_newest_migration() if revision == "newest-migration" else revision)
    if not binary:
        raise NotRun("needs a server of the version before: --previous BINARY, or --previous-revision REVISION, which builds one")
    path = Path(binary).resolve()
    expect(os.access(path, os.X_OK), f"{path} cannot be run")
    return path


class Mixed:
    """Three nodes behind HAProxy, which start as the version before."""

    def __init__(self, report: Report, programs: Programs, previous: Path, drain: str) -> None:
        self.previous = previous
        self.cluster = Cluster(programs, nodes=3, drain=drain, binary=previous)
        self.proxy = HAProxy(programs, binaries()[0], self.cluster.nodes, *make_certificate(programs.directory))
        self.proxy.start()
        self.suite = Suite(report, self.proxy.edge, self.cluster, self.proxy.logs)
        self.client = (self.cluster.client_id, self.cluster.client_secret)
        #: Tokens that were revoked, which must stay so in every version.
        self.revoked: list[str] = []
        self.pairs = 0

    def schema(self) -> int:
        url = str(self.cluster.settings["OAUTH2_DATABASE_URL"])
        code, output = run([self.cluster.postgres.binaries / "psql", url, "-XAtc", "SELECT max(version) FROM refinery_schema_history"])
        expect(code == 0, output)
        return int(output)

    def post(self, node: int, path: str, form: str) -> dict[str, object]:
        """Sends a form to a node without the proxy."""
        url = f"http://127.0.0.1:{self.cluster.nodes[node].port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, form.encode(), basic(*self.client)), timeout=5) as response:
            return dict(json.loads(response.read() or b"{}"))

    def is_active(self, node: int, token: str) -> bool:
        return bool(self.post(node, "/oauth/introspect", f"token={token}")["active"])

    def agree(self, first: int, second: int) -> None:
        """Each of two nodes knows the tokens of the other, their revocations, and every revocation from before."""
        for issuer, reader in ((first, second), (second, first)):
            token = str(self.post(issuer, "/oauth/token", "grant_type=client_credentials")["access_token"])
            expect(self.is_active(reader, token), f"node {reader + 1} does not know a token of node {issuer + 1}")
            self.post(issuer, "/oauth/revoke", f"token={token}")
            wait_for(f"node {reader + 1} knowing a revocation of node {issuer + 1}",
                     lambda reader=reader, token=token: not self.is_active(reader, token), HEARD)  # type: ignore[misc]
            self.revoked.append(token)
        for node in (first, second):
            expect(not any(self.is_active(node, token) for token in self.revoked), f"node {node + 1} calls a revoked token active")
        self.pairs += 1

    def roll(self, binary: Path) -> None:
        """Restarts every node as another version. After each, a node of the one and a node of the other agree, as long as there are both."""
        for at, node in enumerate(self.cluster.nodes):
            restart_by_signal(self.cluster, self.proxy, node, binary)
            self.agree(at, (at + 1) % 3)


def two_versions(report: Report, binary: str | None, revision: str | None, drain: str, requests: int) -> None:
    def check() -> str:
        previous = find_previous(binary, revision)
        with Programs() as programs:
            mixed = Mixed(report, programs, previous, drain)
            before, present = mixed.schema(), mixed.cluster.binary

            def there_and_back() -> None:
                mixed.agree(0, 1)
                mixed.roll(present)
                expect(mixed.schema() == max(map(migration, MIGRATIONS.glob("V*__*.sql"))), f"the schema is at {mixed.schema()}")
                time.sleep(2)
                mixed.roll(previous)
                time.sleep(2)
                mixed.roll(present)

            seen = under_load(mixed.proxy.edge, mixed.suite, requests, there_and_back)
            _, said = run([previous, "--version"])
            return (f"{said.strip()} ({previous.parent.name}) on schema {before}, upgraded node by node to schema {mixed.schema()}, back, and "
                    f"forward again: {seen}; {mixed.pairs} times two nodes knew each other's tokens and revocations")

    report.check("an upgrade of every node from the version before, back in one step, and forward again, on one schema", check)
