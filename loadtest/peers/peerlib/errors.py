"""Errors that end a comparison, with their exit codes. No error message contains a secret."""

from __future__ import annotations


class UsageError(Exception):
    """Invalid arguments, environment or adapter, or a false declaration in the adapter: exit code 2."""

    code = 2


class MeasurementError(Exception):
    """A server does not respond or responds unexpectedly, or a tool is missing: exit code 3."""

    code = 3
