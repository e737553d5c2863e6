"""Files for secrets that are passed to load generators, so that the secrets are on no command line."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(file: Path, content: str) -> Path:
    """Creates or replaces a file that only its owner can read."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(content)
    return file
