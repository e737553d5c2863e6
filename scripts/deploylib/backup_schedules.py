"""The timers of systemd, the table of cron, and the CronJob of Kubernetes."""

import re
import shutil
from pathlib import Path

from postgres_report import TOOLS, Report, expect

from drilllib.scratch import Scratch, last_lines


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    systemd(report, scratch)
    cron(report, scratch)
    kubernetes(report, scratch)


def systemd(report: Report, scratch: Scratch) -> None:
    if shutil.which("systemd-analyze") is None:
        report.not_run("systemd units", "systemd-analyze is not installed")
        return
    with report.check("systemd: units and timers") as seen:
        units = scratch.path / "units"
        shutil.copytree(scratch.deploy / "backup/systemd", units)
        service = units / "oauth2-backup@.service"
        # The programs are where this check has them.
        service.write_text(service.read_text().replace("/opt/oauth2_server/deploy", str(scratch.deploy)))
        timers = sorted(units.glob("*.timer"))
        for timer in timers:
            done = scratch.run(["systemd-analyze", "verify", timer], {"SYSTEMD_LOG_LEVEL": "warning"})
            problems = [line for line in done.stderr.splitlines() if "oauth2" in line]
            expect(done.returncode == 0 and not problems, problems or last_lines(done.stderr))
            scratch.must(["systemd-analyze", "calendar", re.search(r"OnCalendar=(.*)", timer.read_text())[1]])
            program = re.search(r"Unit=oauth2-backup@(.*)\.service", timer.read_text())[1]
            expect((scratch.deploy / "backup" / program).exists(), f"{timer.name} starts {program}, which does not exist")
        exposure = scratch.must(["systemd-analyze", "security", "--offline=true", service])
        level = float(re.search(r"exposure level .*?: ([0-9.]+)", exposure)[1])
        expect(level <= 2.0, f"exposure level {level}")
        seen.append(f"{len(timers)} timers verified, exposure level {level}")


def cron(report: Report, scratch: Scratch) -> None:
    with report.check("cron: fields, users, and programs that exist") as seen:
        users = {"root", "postgres"} | set(re.findall(r"(?m)^u (\S+)", (scratch.deploy / "systemd/oauth2-server.sysusers.conf").read_text()))
        # Those that are commented out, too: they are for SQLite.
        found = [line.removeprefix("#") for line in (scratch.deploy / "backup/oauth2-backup.cron").read_text().splitlines()]
        lines = [line for line in found if re.match(r"[0-9*]", line)]
        for line in lines:
            fields = line.split(None, 6)
            expect(len(fields) == 7 and all(re.fullmatch(r"\*|\d+", field) for field in fields[:5]), f"not a line of cron.d: {line}")
            expect(fields[5] in users, f"the user {fields[5]} is created by no file of deploy/ and no package of Postgres: {line}")
            program = fields[6].split()[0].rsplit("/", 1)[1]
            expect((scratch.deploy / "backup" / program).exists(), f"{program} does not exist")
        expect(any(line.startswith("OAUTH2_DATABASE_URL=sqlite:") for line in found), "backup-sqlite would get no OAUTH2_DATABASE_URL")
        seen.append(f"{len(lines)} jobs")


def kubernetes(report: Report, scratch: Scratch) -> None:
    validate = TOOLS / "python/bin/kubernetes-validate"
    if not validate.exists():
        report.not_run("CronJob", "kubernetes-validate is not installed; scripts/setup --deploy installs it")
        return
    with report.check("CronJob: kubernetes-validate --strict"):
        scratch.must([validate, "--strict", scratch.deploy / "backup/kubernetes/cronjob.yaml"], user={})
    report.not_run("CronJob: a run in a cluster", "there is no cluster here")
