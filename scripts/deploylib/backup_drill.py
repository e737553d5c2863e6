"""The drill, as an operator runs it, once without the log, and once with a restore that revives: it must find both."""

import shutil
import sys
from pathlib import Path

from hostlib import doc
from postgres_report import Report, expect

from drilllib.scratch import Scratch, last_lines


def run(deploy: Path, words: tuple[str, ...], scratch: Scratch, environment: dict):
    return scratch.run([sys.executable, "-B", deploy / "backup/drill", *words], environment, 170, user={})


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    environment = {"BACKUP_PROGRAM": binary, "PG_BINARIES": binaries}
    for variant in ("dump", "archive", "time"):
        with report.check(f"drill {variant}: backs up under load, destroys, restores, compares with the ledger") as seen:
            done = run(scratch.deploy, (variant,), scratch, environment)
            expect(done.returncode == 0, last_lines(done.stdout + done.stderr))
            seen.extend(line.split(": ", 1)[1] for line in done.stdout.strip().splitlines()[::-1])
    with report.check("drill --without-log dump: fails, since changes after the backup are undone") as seen:
        done = scratch.run(["bash", "-c", doc.block("disaster-recovery.md", "--without-log")], environment, 170, user={})
        expect(done.returncode == 1, last_lines(done.stdout + done.stderr))
        problems = done.stdout.strip().splitlines()[-1].split("FAILED: ")[1]
        for undone in ("a secret that was replaced", "a client that was disabled", "a scope that was removed"):
            expect(undone in problems, problems)
        # The tokens are revoked all the same.
        expect("revoked tokens are active again" not in problems, problems)
        seen.append(problems)
    with report.check("drill dump: with a restore that only migrates, it fails") as seen:
        broken = scratch.path / "broken/deploy"
        shutil.copytree(scratch.deploy, broken)
        (broken / "backup/after-restore").write_text('#!/bin/sh\nexec "$BACKUP_PROGRAM" migrate\n')
        done = run(broken, ("dump",), scratch, environment)
        expect(done.returncode == 1 and "revoked tokens are active again" in done.stdout, last_lines(done.stdout + done.stderr))
        seen.append(done.stdout.strip().splitlines()[-1].split("FAILED: ")[1])
