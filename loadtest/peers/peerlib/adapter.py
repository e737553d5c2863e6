"""An adapter: a TOML file that says how a peer is asked and what is stated of it. Whatever is wrong with one is said in a
sentence that names the file and the place in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Wrong
from .values import MADE, Variable, names_in

ADAPTERS = Path(__file__).resolve().parent.parent / "adapters"
WAYS = ("basic", "post", "none")
FORMATS = ("jwt", "opaque", "paseto")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Table = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    url: str
    auth: str
    #: Parameters beside those that the protocol asks for.
    form: dict[str, str]


@dataclass(frozen=True)
class Client:
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Step:
    """One request to the peer's own API."""

    about: str
    method: str
    url: str
    headers: dict[str, str]
    json: Any
    form: dict[str, str] | None
    expect: list[int]
    #: Names for what is taken from the answer, by the field that holds it (`a.b` within `a`).
    take: dict[str, str]


@dataclass(frozen=True)
class Stated:
    """What is said of the peer; `read_version` is where it says its version itself: a URL, a field or a header."""

    version: str
    read_version: dict[str, str] | None
    format: str
    algorithm: str
    durable: str
    storage: str
    secret_hash: str


@dataclass(frozen=True)
class Adapter:
    name: str
    product: str
    variables: list[Variable]
    client: Client
    #: Who asks about tokens.
    asker: Client
    scope: str
    token: Endpoint
    introspection: Endpoint | None
    #: The field of an introspection that names the client; empty if there is none.
    client_field: str
    revocation: Endpoint | None
    create: list[Step]
    remove: list[Step]
    stated: Stated
    #: Seconds of load before anything counts.
    warm_up: int


class Reader:
    """One table of the file, of which every key must be known and asked for."""

    def __init__(self, file: str, place: str, table: Any) -> None:
        if not isinstance(table, dict):
            raise Wrong(f"{file}: {place} must be a table")
        self.file, self.place, self.left = file, place, dict(table)

    def wrong(self, what: str) -> Wrong:
        return Wrong(f"{self.file}: {self.place}{what}")

    def take(self, key: str, kind: type, fallback: Any = ...) -> Any:
        if key not in self.left:
            if fallback is ...:
                raise self.wrong(f" lacks {key}")
            return fallback
        value = self.left.pop(key)
        # In Python true is a number.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(f" has {key}, which must be {WORDS[kind]}")
        return value

    def text(self, key: str, fallback: Any = ...) -> str:
        found: str = self.take(key, str, fallback)
        return found

    def one_of(self, key: str, known: Iterable[str], fallback: Any = ...) -> str:
        found = self.text(key, fallback)
        if found not in known:
            raise self.wrong(f" has {key}, which must be one of {', '.join(known)}, not {found}")
        return found

    def texts(self, key: str) -> dict[str, str]:
        found: Table = self.take(key, dict, {})
        for name, value in found.items():
            if not isinstance(value, str):
                raise self.wrong(f" has {key}.{name}, which must be a string")
        return found

    def end(self) -> None:
        if self.left:
            raise self.wrong(f" has {sorted(self.left)[0]}, which is not known")


WORDS = {str: "a string", int: "a whole number", dict: "a table", list: "a list", bool: "true or false"}


class Parser:
    def __init__(self, file: Path) -> None:
        self.file = file.name
        try:
            self.whole: Table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise Wrong(f"the adapter cannot be read: {file}") from None
        except tomllib.TOMLDecodeError as error:
            raise Wrong(f"{self.file} is not TOML: {error}") from None
        #: What `${…}` may name so far.
        self.names: set[str] = set(MADE)

    def table(self, key: str, place: str | None = None) -> Reader:
        return Reader(self.file, place or f"[{key}]", self.whole.pop(key, {}))

    def known(self, place: str, template: Any) -> None:
        for name in sorted(names_in(template) - self.names):
            raise Wrong(f"{self.file}: {place} names ${{{name}}}, which is no variable and not taken before")

    def variables(self) -> list[Variable]:
        found = []
        for name, table in self.table("variables").left.items():
            reader = Reader(self.file, f"[variables] {name}", table)
            default = reader.text("default", None)
            found.append(Variable(name, reader.text("about"), default, reader.take("secret", bool, False)))
            reader.end()
            self.names.add(name)
        return found

    def steps(self, key: str) -> list[Step]:
        listed = self.whole.pop(key, [])
        if not isinstance(listed, list):
            raise Wrong(f"{self.file}: [[{key}]] must be a list of tables")
        found = []
        for number, table in enumerate(listed, 1):
            reader = Reader(self.file, f"[[{key}]] number {number}", table)
            self.known(reader.place, {name: part for name, part in table.items() if name != "take"})
            expect = reader.take("expect", list, [200, 201, 204])
            if not all(isinstance(status, int) for status in expect):
                raise reader.wrong(" has expect, which must be a list of status codes")
            step = Step(reader.text("about"), reader.one_of("method", METHODS), reader.text("url"),
                        reader.texts("headers"), reader.take("json", dict, None),
                        reader.texts("form") if "form" in reader.left else None, expect, reader.texts("take"))
            reader.end()
            self.names |= step.take.keys()
            found.append(step)
        return found

    def endpoint(self, reader: Reader) -> Endpoint:
        found = Endpoint(reader.text("url"), reader.one_of("auth", WAYS, "basic"), reader.texts("form"))
        self.known(reader.place, [found.url, found.form])
        return found

    def optional(self, key: str) -> tuple[Endpoint | None, str]:
        if key not in self.whole:
            return None, ""
        reader = self.table(key)
        client_field = reader.text("client_field", "client_id") if key == "introspection" else ""
        found = self.endpoint(reader)
        reader.end()
        return found, client_field

    def who(self, key: str, reader: Reader, fallback: Client | None = None) -> Client:
        if fallback and not reader.left:
            return fallback
        found = Client(reader.text("id"), reader.text("secret"))
        self.known(f"[{key}]", [found.id, found.secret])
        return found

    def stated(self) -> Stated:
        reader = self.table("stated")
        version: Any = reader.left.pop("version", "")
        read_version = None
        if isinstance(version, dict):
            source = Reader(self.file, "[stated] version", version)
            read_version = {"url": source.text("url")}
            for kind in ("field", "header"):
                if kind in source.left:
                    read_version[kind] = source.text(kind)
            source.end()
            if len(read_version) != 2:
                raise source.wrong(" needs either field or header")
            version = ""
        elif not isinstance(version, str) or not version:
            raise reader.wrong(" lacks version")
        found = Stated(version, read_version, reader.one_of("format", FORMATS), reader.text("algorithm"),
                       reader.text("durable"), reader.text("storage"), reader.text("secret_hash"))
        reader.end()
        self.known("[stated]", [version, read_version or {}, found.algorithm, found.durable, found.storage,
                                found.secret_hash])
        return found

    def adapter(self, name: str) -> Adapter:
        variables = self.variables()
        create = self.steps("create")
        reader = self.table("client")
        scope = reader.text("scope", "")
        client = self.who("client", reader)
        reader.end()
        reader = self.table("token")
        token = self.endpoint(reader)
        reader.end()
        reader = self.table("asker")
        asker = self.who("asker", reader, client)
        reader.end()
        introspection, client_field = self.optional("introspection")
        revocation, _ = self.optional("revocation")
        if token.auth == "none":
            raise Wrong(f"{self.file}: [token] has auth, which must be basic or post: a client must prove who it is")
        if revocation and not introspection:
            raise Wrong(f"{self.file}: [revocation] is of no use without [introspection]")
        remove, stated = self.steps("remove"), self.stated()
        top = Reader(self.file, "the file", self.whole)
        found = Adapter(name, top.text("product"), variables, client, asker, scope, token, introspection, client_field,
                        revocation, create, remove, stated, top.take("warm_up", int, 2))
        top.end()
        self.known("scope", scope)
        if not 1 <= found.warm_up <= 120:
            raise Wrong(f"{self.file}: warm_up must be 1 to 120 seconds")
        return found


def load(name: str) -> Adapter:
    """An adapter by its name or, with a slash or `.toml` in it, by its file."""
    file = Path(name) if "/" in name or name.endswith(".toml") else ADAPTERS / f"{name}.toml"
    if not file.is_file():
        known = ", ".join(sorted(found.stem for found in ADAPTERS.glob("*.toml")))
        raise Wrong(f"there is no adapter {name}: give the path of one, or one of {known}")
    return Parser(file).adapter(file.stem)
