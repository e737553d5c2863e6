"""The values of `${NAME}` in an adapter: environment variables, generated values, and values captured from responses."""

from __future__ import annotations

import os
import re
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError

PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
#: Generated for every run, for the clients that it registers. The password satisfies common password policies.
GENERATED = ("RUN", "UUID", "PASSWORD")


@dataclass(frozen=True)
class Variable:
    """An environment variable. `NAME_FILE` may name a file with the value instead."""

    name: str
    about: str
    default: str | None
    secret: bool

    def read(self, environment: Mapping[str, str]) -> str:
        value, file = environment.get(self.name, ""), environment.get(f"{self.name}_FILE", "")
        if value and file:
            raise UsageError(f"{self.name} and {self.name}_FILE are mutually exclusive")
        if file:
            try:
                value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                raise UsageError(f"{self.name}_FILE names a file that cannot be read: {file}") from None
        if not value:
            if self.default is None:
                raise UsageError(f"{self.name} is missing ({self.about})")
            return self.default
        if any(ord(character) < 32 for character in value):
            raise UsageError(f"{self.name} must be one line without control characters")
        return value


def password() -> str:
    """A random password of letters and digits, which no form of encoding changes."""
    alphabet = string.ascii_letters + string.digits
    return "Aa1" + "".join(secrets.choice(alphabet) for _ in range(45))


@dataclass
class Values:
    by_name: dict[str, str] = field(repr=False, default_factory=dict)
    #: Values that must never be printed.
    secrets: set[str] = field(repr=False, default_factory=set)

    def put(self, name: str, value: str, secret: bool) -> None:
        self.by_name[name] = value
        if secret and len(value) >= 4:
            self.secrets.add(value)

    def expand(self, template: Any) -> Any:
        """Replaces every `${NAME}` in a string, and in all strings of a dict or list."""
        if isinstance(template, str):
            return PLACEHOLDER.sub(lambda match: self.by_name[match.group(1)], template)
        if isinstance(template, dict):
            return {key: self.expand(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.expand(value) for value in template]
        return template

    def text(self, template: str) -> str:
        expanded: str = self.expand(template)
        return expanded

    def redact(self, text: str) -> str:
        """Text from another program, with secrets replaced, on one line, truncated to 200 characters."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return " ".join(text.split())[:200]


def names_in(template: Any) -> set[str]:
    """The names of all placeholders in a template."""
    if isinstance(template, str):
        return set(PLACEHOLDER.findall(template))
    if isinstance(template, dict):
        return set().union(*(names_in(value) for value in template.values()))
    if isinstance(template, list):
        return set().union(*(names_in(value) for value in template))
    return set()


def read(variables: list[Variable], environment: Mapping[str, str] | None = None) -> Values:
    values = Values()
    for variable in variables:
        values.put(variable.name, variable.read(os.environ if environment is None else environment), variable.secret)
    values.put("RUN", f"compare-{secrets.token_hex(4)}", False)
    values.put("UUID", str(uuid.uuid4()), False)
    values.put("PASSWORD", password(), True)
    return values
