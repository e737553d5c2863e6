"""The two sides of a comparison, in one form: where they are, who asks them, what is stated of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchlib.processes import Processes
from benchlib.servers import Server
from benchlib.stores import Postgres

from . import web
from .adapter import Adapter, Client, Endpoint, Stated
from .errors import CannotMeasure, Wrong
from .values import PLACE, Values

#: Of our tokens, seconds.
LONGEST_LIFETIME = 2_592_000


@dataclass
class Side:
    #: "peer" or "ours".
    key: str
    product: str
    token: Endpoint
    introspection: Endpoint | None
    client_field: str
    revocation: Endpoint | None
    client: Client
    asker: Client
    scope: str
    stated: Stated
    #: Processes of the server, and of its database where that is not one of them. Empty where they are not known.
    pids: list[int] = field(default_factory=list)
    database: list[int] = field(default_factory=list)
    #: Found while it was looked over.
    version: str = ""
    format: str = ""
    algorithm: str = ""
    lifetime: int = 0

    @property
    def name(self) -> str:
        return f"{self.product} {self.version}".strip()

    def parameters(self) -> dict[str, str]:
        """What the form of a token request says."""
        return web.GRANT | ({"scope": self.scope} if self.scope else {})


def filled(endpoint: Endpoint, values: Values, what: str) -> Endpoint:
    url = values.text(endpoint.url)
    web.split(url, what)
    if re.search(r"\s", url):
        raise Wrong(f"{what} must not hold spaces")
    return Endpoint(url, endpoint.auth, values.fill(endpoint.form))


def place(adapter: Adapter, values: Values) -> dict[str, str]:
    """Every URL of the peer that is known before it is asked anything, by what it is."""
    templates = {"the token URL": adapter.token.url}
    for what, endpoint in (("introspection", adapter.introspection), ("revocation", adapter.revocation)):
        if endpoint:
            templates[f"the {what} URL"] = endpoint.url
    for step in adapter.create + adapter.remove:
        templates[f"the URL of \"{step.about}\""] = step.url
    if adapter.stated.read_version:
        templates["the version's URL"] = adapter.stated.read_version["url"]
    # What is taken from answers must come after the host.
    known = {what: PLACE.sub(lambda match: values.known.get(match.group(1), "x"), template)
             for what, template in templates.items()}
    for what, url in known.items():
        web.split(url, what)
    return known


def peer(adapter: Adapter, values: Values) -> Side:
    """The peer, once its client has been made."""
    def at(endpoint: Endpoint | None, what: str) -> Endpoint | None:
        return filled(endpoint, values, what) if endpoint else None

    def who(client: Client) -> Client:
        found = Client(values.text(client.id), values.text(client.secret))
        values.secrets.add(found.secret)
        return found

    stated = adapter.stated
    if (durable := values.text(stated.durable)) not in ("yes", "no"):
        raise Wrong(f"{adapter.product} must be stated to be durable or not by yes or no, not {durable}")
    return Side(
        "peer", adapter.product, filled(adapter.token, values, "the token URL"),
        at(adapter.introspection, "the introspection URL"), adapter.client_field,
        at(adapter.revocation, "the revocation URL"), who(adapter.client), who(adapter.asker),
        values.text(adapter.scope),
        Stated(values.text(stated.version), values.fill(stated.read_version), stated.format,
               values.text(stated.algorithm), durable, values.text(stated.storage),
               values.text(stated.secret_hash)))


class Ours:
    """`oauth2_server`, started for the comparison on a store of its own."""

    def __init__(self, processes: Processes, binary: Path, store: str, workers: int, directory: Path) -> None:
        self.store = store
        self.postgres = Postgres(processes, directory) if store == "postgres" else None
        url = self.postgres.create("compare") if self.postgres else f"sqlite://{directory}/server-{store}/data/oauth2.db"
        self.server = Server(processes, binary, store, url, workers, directory)
        self.server.command("migrate")

    def start(self, peer: Side, token_format: str, introspects: bool) -> Side:
        """With one client like the peer's: the same scope, the same lifetime."""
        server = self.server
        algorithm = {"paseto": "Ed25519", "jwt": "EdDSA", "opaque": "random, SHA-256 kept"}[token_format]
        command = ["client", "create", "--id", "compare", "--grant", "client_credentials", "--format", token_format,
                   "--lifetime", str(min(peer.lifetime, LONGEST_LIFETIME)), "--json"]
        if peer.scope:
            command += ["--scope", peer.scope]
        if token_format == "jwt" and peer.algorithm == "ES256":
            algorithm = "ES256"
            command += ["--signing-alg", "ES256"]
        made = json.loads(server.command(*command))
        client = Client(made["client_id"], made["client_secret"])
        server.start()
        at: Callable[[str], Endpoint] = lambda path: Endpoint(f"http://127.0.0.1:{server.port}{path}", "basic", {})
        storage = "SQLite, synchronous=FULL" if self.store == "sqlite" else "Postgres, fsync and synchronous_commit on"
        return Side(
            "ours", "oauth2_server", at("/oauth/token"), at("/oauth/introspect") if introspects else None, "client_id",
            at("/oauth/revoke") if peer.revocation else None, client, client, peer.scope,
            Stated(server.command("--version").split()[-1], None, token_format, algorithm, "yes", storage, "SHA-256"),
            pids=[server.pid], database=[self.postgres.process.pid] if self.postgres else [])


def listeners(port: int) -> list[int]:
    """The processes of this machine that listen on a port, without those that another of them started."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            # 0A: it listens.
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            held = any(os.readlink(file) in inodes for file in (entry / "fd").iterdir())
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if held:
            found[int(entry.name)] = parent
    return sorted(pid for pid, parent in found.items() if parent not in found)


def process_name(pid: int) -> str:
    """The program's name, and nothing else of a command line that may hold what is secret."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[0]
    except OSError:
        raise CannotMeasure(f"there is no process {pid}") from None
    return command.rsplit("/", 1)[-1].split(" ")[0].rstrip(":") or str(pid)
