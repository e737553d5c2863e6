"""Why a comparison ends early, with its exit code and a sentence for people. No sentence holds a secret."""

from __future__ import annotations


class Wrong(Exception):
    """The call, the environment, the adapter or what it states is wrong: exit code 2."""

    code = 2


class CannotMeasure(Exception):
    """Somebody does not answer, or not as asked, or a tool is missing: exit code 3."""

    code = 3
