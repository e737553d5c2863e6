"""The two sides of a comparison, the peer and our server, in one form: endpoints, clients and declared properties."""

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
from .adapter import Adapter, Client, Declared, Endpoint
from .errors import MeasurementError, UsageError
from .values import PLACEHOLDER, Values

#: The longest lifetime of our tokens, seconds.
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
    introspection_client: Client
    scope: str
    declared: Declared
    #: The processes of the server, and of its database if that is a separate one. Empty if they are not known.
    pids: list[int] = field(default_factory=list)
    database: list[int] = field(default_factory=list)
    #: Set by the preflight checks.
    version: str = ""
    format: str = ""
    algorithm: str = ""
    lifetime: int = 0

    @property
    def name(self) -> str:
        return f"{self.product} {self.version}".strip()

    def parameters(self) -> dict[str, str]:
        """The form parameters of a token request."""
        return web.GRANT | ({"scope": self.scope} if self.scope else {})


def expand_endpoint(endpoint: Endpoint, values: Values, what: str) -> Endpoint:
    url = values.text(endpoint.url)
    web.parse_url(url, what)
    if re.search(r"\s", url):
        raise UsageError(f"{what} must not contain spaces")
    return Endpoint(url, endpoint.auth, values.expand(endpoint.form))


def peer_urls(adapter: Adapter, values: Values) -> dict[str, str]:
    """All URLs of the peer, by description, before any request is sent."""
    templates = {"the token URL": adapter.token.url}
    for what, endpoint in (("introspection", adapter.introspection), ("revocation", adapter.revocation)):
        if endpoint:
            templates[f"the {what} URL"] = endpoint.url
    for step in adapter.create + adapter.remove:
        templates[f"the URL of \"{step.about}\""] = step.url
    if adapter.declared.read_version:
        templates["the version's URL"] = adapter.declared.read_version["url"]
    # Captured values are not known yet; they may only occur after the host.
    urls = {what: PLACEHOLDER.sub(lambda match: values.by_name.get(match.group(1), "x"), template)
            for what, template in templates.items()}
    for what, url in urls.items():
        web.parse_url(url, what)
    return urls


def peer_side(adapter: Adapter, values: Values) -> Side:
    """The peer, after its client has been registered."""
    def optional(endpoint: Endpoint | None, what: str) -> Endpoint | None:
        return expand_endpoint(endpoint, values, what) if endpoint else None

    def expand_client(client: Client) -> Client:
        found = Client(values.text(client.id), values.text(client.secret))
        values.secrets.add(found.secret)
        return found

    declared = adapter.declared
    if (durable := values.text(declared.durable)) not in ("yes", "no"):
        raise UsageError(f"durable must be declared yes or no for {adapter.product}, not {durable}")
    return Side(
        "peer", adapter.product, expand_endpoint(adapter.token, values, "the token URL"),
        optional(adapter.introspection, "the introspection URL"), adapter.client_field,
        optional(adapter.revocation, "the revocation URL"), expand_client(adapter.client),
        expand_client(adapter.introspection_client), values.text(adapter.scope),
        Declared(values.text(declared.version), values.expand(declared.read_version), declared.format,
                 values.text(declared.algorithm), durable, values.text(declared.storage),
                 values.text(declared.secret_hash)))


class OurServer:
    """`oauth2_server`, started for the comparison on its own store."""

    def __init__(self, processes: Processes, binary: Path, store: str, workers: int, directory: Path) -> None:
        self.store = store
        self.postgres = Postgres(processes, directory) if store == "postgres" else None
        url = self.postgres.create("compare") if self.postgres else f"sqlite://{directory}/server-{store}/data/oauth2.db"
        self.server = Server(processes, binary, store, url, workers, directory)
        self.server.command("migrate")

    def start(self, peer: Side, token_format: str, introspects: bool) -> Side:
        """Starts the server with one client that has the scope and token lifetime of the peer's client."""
        server = self.server
        algorithm = {"paseto": "Ed25519", "jwt": "EdDSA", "opaque": "random, stored as SHA-256"}[token_format]
        command = ["client", "create", "--id", "compare", "--grant", "client_credentials", "--format", token_format,
                   "--lifetime", str(min(peer.lifetime, LONGEST_LIFETIME)), "--json"]
        if peer.scope:
            command += ["--scope", peer.scope]
        if token_format == "jwt":
            algorithm = "ES256" if peer.algorithm == "ES256" else "EdDSA"
            command += ["--signing-alg", algorithm]
        created = json.loads(server.command(*command))
        client = Client(created["client_id"], created["client_secret"])
        server.start()
        at: Callable[[str], Endpoint] = lambda path: Endpoint(f"http://127.0.0.1:{server.port}{path}", "basic", {})
        storage = "SQLite, synchronous=FULL" if self.store == "sqlite" else "Postgres, fsync and synchronous_commit on"
        return Side(
            "ours", "oauth2_server", at("/oauth/token"), at("/oauth/introspect") if introspects else None, "client_id",
            at("/oauth/revoke") if peer.revocation else None, client, client, peer.scope,
            Declared(server.command("--version").split()[-1], None, token_format, algorithm, "yes", storage, "SHA-256"),
            pids=[server.pid], database=[self.postgres.process.pid] if self.postgres else [])


def listeners(port: int) -> list[int]:
    """The processes of this machine that listen on a port, without their children that inherited the socket."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            # 0A is the state LISTEN.
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            listens = any(os.readlink(file) in inodes for file in (entry / "fd").iterdir())
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if listens:
            found[int(entry.name)] = parent
    return sorted(pid for pid, parent in found.items() if parent not in found)


def process_name(pid: int) -> str:
    """The name of the program, without its arguments, which may contain secrets."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[0]
    except OSError:
        raise MeasurementError(f"there is no process {pid}") from None
    return command.rsplit("/", 1)[-1].split(" ")[0].rstrip(":") or str(pid)
