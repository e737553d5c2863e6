"""What `${NAME}` in an adapter stands for: variables of the environment, and what the adapter's requests bring."""

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

from .errors import Wrong

PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
#: Made anew for every run, for clients that are registered for it. The password has what password policies ask for.
MADE = ("RUN", "UUID", "PASSWORD")


@dataclass(frozen=True)
class Variable:
    """Something that the environment says. `NAME_FILE` may name a file with the value instead."""

    name: str
    about: str
    default: str | None
    secret: bool

    def read(self, given: Mapping[str, str]) -> str:
        value, file = given.get(self.name, ""), given.get(f"{self.name}_FILE", "")
        if value and file:
            raise Wrong(f"{self.name} and {self.name}_FILE are both given: one of them must go")
        if file:
            try:
                value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                raise Wrong(f"{self.name}_FILE names a file that cannot be read: {file}") from None
        if not value:
            if self.default is None:
                raise Wrong(f"{self.name} is missing ({self.about})")
            return self.default
        if any(ord(character) < 32 for character in value):
            raise Wrong(f"{self.name} must be one line without control characters")
        return value


def password() -> str:
    """Letters and digits only, so that however a server decodes it, it is the same."""
    alphabet = string.ascii_letters + string.digits
    return "Aa1" + "".join(secrets.choice(alphabet) for _ in range(45))


@dataclass
class Values:
    known: dict[str, str] = field(repr=False, default_factory=dict)
    #: What must never be shown.
    secrets: set[str] = field(repr=False, default_factory=set)

    def put(self, name: str, value: str, secret: bool) -> None:
        self.known[name] = value
        if secret and len(value) >= 4:
            self.secrets.add(value)

    def fill(self, template: Any) -> Any:
        """The same with every `${NAME}` replaced, in strings and in whatever holds them."""
        if isinstance(template, str):
            return PLACE.sub(lambda match: self.known[match.group(1)], template)
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value) for value in template]
        return template

    def text(self, template: str) -> str:
        filled: str = self.fill(template)
        return filled

    def hide(self, text: str) -> str:
        """What somebody else wrote, without secrets that it may repeat, on one line and not too long."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return " ".join(text.split())[:200]


def names_in(template: Any) -> set[str]:
    if isinstance(template, str):
        return set(PLACE.findall(template))
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
