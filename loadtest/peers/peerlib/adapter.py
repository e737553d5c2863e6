"""An adapter: a TOML file that describes the endpoints of a peer and declares its properties. Errors name the file and the table
or key that is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError
from .values import GENERATED, Variable, names_in

ADAPTERS = Path(__file__).resolve().parent.parent / "adapters"
AUTH_METHODS = ("basic", "post", "none")
FORMATS = ("jwt", "opaque", "paseto")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Table = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    url: str
    auth: str
    #: Additional form parameters.
    form: dict[str, str]


@dataclass(frozen=True)
class Client:
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Step:
    """A request to the peer's own API."""

    about: str
    method: str
    url: str
    headers: dict[str, str]
    json: Any
    form: dict[str, str] | None
    expect: list[int]
    #: Values to capture from the response: names, with the JSON field of each (`a.b` is b within a).
    capture: dict[str, str]


@dataclass(frozen=True)
class Declared:
    """The declared properties of a server. `read_version` is the URL and the field or header that contain its version."""

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
    #: The client that introspects tokens.
    introspection_client: Client
    scope: str
    token: Endpoint
    introspection: Endpoint | None
    #: The field of an introspection response that names the client; empty if there is none.
    client_field: str
    revocation: Endpoint | None
    create: list[Step]
    remove: list[Step]
    declared: Declared
    #: Seconds of load before measurements begin.
    warm_up: int


class TableReader:
    """Reads one table of the file. Every key must be known."""

    def __init__(self, file: str, location: str, table: Any) -> None:
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {location} must be a table")
        self.file, self.location, self.unread = file, location, dict(table)

    def error(self, problem: str) -> UsageError:
        return UsageError(f"{self.file}: {self.location}: {problem}")

    def pop(self, key: str, expected_type: type, fallback: Any = ...) -> Any:
        if key not in self.unread:
            if fallback is ...:
                raise self.error(f"{key} is missing")
            return fallback
        value = self.unread.pop(key)
        # In Python, bool is a subclass of int.
        if not isinstance(value, expected_type) or (expected_type is int and isinstance(value, bool)):
            raise self.error(f"{key} must be {TYPE_NAMES[expected_type]}")
        return value

    def text(self, key: str, fallback: Any = ...) -> str:
        found: str = self.pop(key, str, fallback)
        return found

    def one_of(self, key: str, known: Iterable[str], fallback: Any = ...) -> str:
        found = self.text(key, fallback)
        if found not in known:
            raise self.error(f"{key} must be one of {', '.join(known)}, not {found}")
        return found

    def texts(self, key: str) -> dict[str, str]:
        found: Table = self.pop(key, dict, {})
        for name, value in found.items():
            if not isinstance(value, str):
                raise self.error(f"{key}.{name} must be a string")
        return found

    def reject_unknown_keys(self) -> None:
        if self.unread:
            raise self.error(f"unknown key {sorted(self.unread)[0]}")


TYPE_NAMES = {str: "a string", int: "a whole number", dict: "a table", list: "a list", bool: "true or false"}


class Parser:
    def __init__(self, file: Path) -> None:
        self.file = file.name
        try:
            self.unread: Table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"the adapter cannot be read: {file}") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{self.file} is not valid TOML: {error}") from None
        #: The placeholders defined so far.
        self.names: set[str] = set(GENERATED)

    def table(self, key: str) -> TableReader:
        return TableReader(self.file, f"[{key}]", self.unread.pop(key, {}))

    def check_placeholders(self, location: str, template: Any) -> None:
        for name in sorted(names_in(template) - self.names):
            raise UsageError(f"{self.file}: {location}: ${{{name}}} is neither a variable nor captured by an earlier request")

    def variables(self) -> list[Variable]:
        found = []
        for name, table in self.table("variables").unread.items():
            reader = TableReader(self.file, f"[variables] {name}", table)
            default = reader.text("default", None)
            found.append(Variable(name, reader.text("about"), default, reader.pop("secret", bool, False)))
            reader.reject_unknown_keys()
            self.names.add(name)
        return found

    def steps(self, key: str) -> list[Step]:
        listed = self.unread.pop(key, [])
        if not isinstance(listed, list):
            raise UsageError(f"{self.file}: [[{key}]] must be a list of tables")
        found = []
        for number, table in enumerate(listed, 1):
            reader = TableReader(self.file, f"[[{key}]] number {number}", table)
            self.check_placeholders(reader.location, {name: part for name, part in table.items() if name != "capture"})
            expect = reader.pop("expect", list, [200, 201, 204])
            if not all(isinstance(status, int) for status in expect):
                raise reader.error("expect must be a list of status codes")
            step = Step(reader.text("about"), reader.one_of("method", METHODS), reader.text("url"),
                        reader.texts("headers"), reader.pop("json", dict, None),
                        reader.texts("form") if "form" in reader.unread else None, expect, reader.texts("capture"))
            reader.reject_unknown_keys()
            self.names |= step.capture.keys()
            found.append(step)
        return found

    def endpoint(self, reader: TableReader) -> Endpoint:
        found = Endpoint(reader.text("url"), reader.one_of("auth", AUTH_METHODS, "basic"), reader.texts("form"))
        self.check_placeholders(reader.location, [found.url, found.form])
        return found

    def optional_endpoint(self, key: str) -> tuple[Endpoint | None, str]:
        """The endpoint, and its client field."""
        if key not in self.unread:
            return None, ""
        reader = self.table(key)
        client_field = reader.text("client_field", "client_id") if key == "introspection" else ""
        found = self.endpoint(reader)
        reader.reject_unknown_keys()
        return found, client_field

    def client(self, reader: TableReader, fallback: Client | None = None) -> Client:
        if fallback and not reader.unread:
            return fallback
        found = Client(reader.text("id"), reader.text("secret"))
        self.check_placeholders(reader.location, [found.id, found.secret])
        return found

    def declared(self) -> Declared:
        reader = self.table("declared")
        version: Any = reader.unread.pop("version", "")
        read_version = None
        if isinstance(version, dict):
            source = TableReader(self.file, "[declared] version", version)
            read_version = {"url": source.text("url")}
            for source_type in ("field", "header"):
                if source_type in source.unread:
                    read_version[source_type] = source.text(source_type)
            source.reject_unknown_keys()
            if len(read_version) != 2:
                raise source.error("either field or header is required")
            version = ""
        elif not isinstance(version, str) or not version:
            raise reader.error("version is missing")
        found = Declared(version, read_version, reader.one_of("format", FORMATS), reader.text("algorithm"),
                         reader.text("durable"), reader.text("storage"), reader.text("secret_hash"))
        reader.reject_unknown_keys()
        self.check_placeholders("[declared]", [version, read_version or {}, found.algorithm, found.durable, found.storage,
                                               found.secret_hash])
        return found

    def adapter(self, name: str) -> Adapter:
        variables = self.variables()
        create = self.steps("create")
        reader = self.table("client")
        scope = reader.text("scope", "")
        client = self.client(reader)
        reader.reject_unknown_keys()
        reader = self.table("token")
        token = self.endpoint(reader)
        reader.reject_unknown_keys()
        reader = self.table("introspection_client")
        introspection_client = self.client(reader, client)
        reader.reject_unknown_keys()
        introspection, client_field = self.optional_endpoint("introspection")
        revocation, _ = self.optional_endpoint("revocation")
        if token.auth == "none":
            raise UsageError(f"{self.file}: [token]: auth must be basic or post: a client must authenticate")
        if revocation and not introspection:
            raise UsageError(f"{self.file}: [revocation] requires [introspection]")
        remove, declared = self.steps("remove"), self.declared()
        top = TableReader(self.file, "top level", self.unread)
        found = Adapter(name, top.text("product"), variables, client, introspection_client, scope, token, introspection,
                        client_field, revocation, create, remove, declared, top.pop("warm_up", int, 2))
        top.reject_unknown_keys()
        self.check_placeholders("scope", scope)
        if not 1 <= found.warm_up <= 120:
            raise UsageError(f"{self.file}: warm_up must be 1 to 120 seconds")
        return found


def load(name: str) -> Adapter:
    """Loads an adapter by its name or, if it contains a slash or ends with `.toml`, by its path."""
    file = Path(name) if "/" in name or name.endswith(".toml") else ADAPTERS / f"{name}.toml"
    if not file.is_file():
        known = ", ".join(sorted(found.stem for found in ADAPTERS.glob("*.toml")))
        raise UsageError(f"there is no adapter {name}: give the path of a TOML file, or one of {known}")
    return Parser(file).adapter(file.stem)
