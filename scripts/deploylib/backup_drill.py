"""The drill, as an operator runs it, and once with a restore that revives: it must find that."""

import sys
from pathlib import Path

from postgres_report import Report, expect

from drilllib.scratch import Scratch, last_lines


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    program = [sys.executable, "-B", scratch.deploy / "backup/drill"]
    environment = {"BACKUP_PROGRAM": binary, "PG_BINARIES": binaries}
    for variant in ("dump", "archive", "time"):
        with report.check(f"drill {variant}: backs up under load, destroys, restores, compares with the ledger") as seen:
            done = scratch.run([*program, variant], environment, 170, user={})
            expect(done.returncode == 0, last_lines(done.stdout + done.stderr))
            seen.extend(line.split(": ", 1)[1] for line in done.stdout.strip().splitlines()[::-1])
    with report.check("drill dump: without after-restore it fails") as seen:
        (scratch.deploy / "backup/after-restore").write_text('#!/bin/sh\nexec "$BACKUP_PROGRAM" migrate\n')
        done = scratch.run([*program, "dump"], environment, 170, user={})
        expect(done.returncode == 1 and "revoked tokens are active again" in done.stdout, last_lines(done.stdout + done.stderr))
        seen.append(done.stdout.strip().splitlines()[-1].split("FAILED: ")[1])
