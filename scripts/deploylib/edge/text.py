"""Puts the addresses of a check into the shipped configuration files."""

from __future__ import annotations

import re
from pathlib import Path

from .report import Mismatch


def replaced(path: Path, changes: dict[str, str]) -> str:
    """The text of a file with each pattern replaced. A pattern that occurs nowhere is an error: the file is no longer the one that is
    checked."""
    text = path.read_text()
    for pattern, new in changes.items():
        text, times = re.subn(pattern, lambda _match, new=new: new, text, flags=re.MULTILINE)  # type: ignore[misc]
        if not times:
            raise Mismatch(f"{path.name} does not contain {pattern}")
    return text
