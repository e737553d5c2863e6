"""Blocks of docs/operations: a check takes the commands of a page from here, so that a wrong command turns the check red."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).resolve().parents[3] / "docs/operations"
FENCE = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$")


@dataclass(frozen=True)
class Block:
    page: str
    #: The number of the line with the opening fence.
    line: int
    language: str
    text: str
    #: The line before the block.
    before: str


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    path = PAGES / page
    if not path.is_file():
        raise RuntimeError(f"docs/operations has no page {page}")
    text = path.read_text()
    found = []
    for match in FENCE.finditer(text):
        lines = text[: match.start()].splitlines()
        found.append(Block(page, len(lines) + 1, match["language"], textwrap.dedent(match["text"]), lines[-1].strip() if lines else ""))
    return found


def select(page: str, contains: str, language: str = "sh") -> Block:
    found = [block for block in blocks(page) if block.language == language and contains in block.text]
    # A block with this text alone comes first: the text may be a line of other blocks.
    found = [block for block in found if block.text.strip() == contains.strip()] or found
    if len(found) != 1:
        raise RuntimeError(f"docs/operations/{page} has {len(found)} blocks of {language} with {contains!r}, not one")
    return found[0]


def block(page: str, contains: str, language: str = "sh") -> str:
    """The text of the one fenced block of docs/operations/PAGE that contains this text, without its indentation."""
    return select(page, contains, language).text


def replace(text: str, *replacements: tuple[str, str]) -> str:
    """Makes each replacement (OLD, NEW), in this order; each must occur."""
    for old, new in replacements:
        if old not in text:
            raise RuntimeError(f"the block of the page has no {old!r} to replace: {text}")
        text = text.replace(old, new)
    return text


def variables(text: str) -> dict[str, str]:
    """The variables that a block sets or exports."""
    script = f"set -ae\n{text}\nenv -0"
    done = subprocess.run(["/bin/bash", "-c", script], env={}, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"a block of settings ended with {done.returncode}: {done.stderr}: {text}")
    pairs = (pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
    return {name: value for name, value in pairs if name not in {"PWD", "OLDPWD", "SHLVL", "_"}}
