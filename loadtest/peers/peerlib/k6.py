"""The load test of this repository, `loadtest/run.sh`, against one side at a fixed rate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchlib.processes import Processes

from .errors import CannotMeasure
from .sides import Side

LOADTEST = Path(__file__).resolve().parent.parent.parent
#: Starting, registering and reporting, beyond the load itself, seconds.
AROUND = 120
BUILDING = 1200
#: What is passed on of our own environment.
KEPT = ("PATH", "HOME", "LANG", "SSL_CERT_FILE")


@dataclass
class Fixed:
    rate: float
    p50: float
    p95: float
    p99: float
    longest: float
    errors: int
    kinds: dict[str, int]
    dropped: int


class K6:
    def __init__(self, processes: Processes, directory: Path) -> None:
        self.processes, self.directory = processes, directory / "k6"
        self.directory.mkdir()
        self.turn = 0
        # Here and once: where there is none it is built, which takes minutes.
        self.program = processes.run([str(LOADTEST / "k6.sh")], timeout=BUILDING).strip()
        #: Its version, once it has run.
        self.version = ""

    def secret(self, name: str, value: str) -> str:
        file = self.directory / name
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(value)
        return str(file)

    def environment(self, side: Side, rate: int, seconds: int, scenarios: list[str], results: Path) -> dict[str, str]:
        found = {name: os.environ[name] for name in KEPT if name in os.environ}
        scope = {"scope": side.scope} if side.scope else {}
        found |= {
            "K6": self.program, "TMPDIR": str(self.directory), "PROFILE": "compare", "RATE": str(rate), "DURATION": f"{seconds}s",
            "SCENARIOS": " ".join(scenarios), "RESULTS_DIR": str(results),
            "PRODUCT": side.name, "TOKEN_URL": side.token.url, "CLIENT_AUTH": side.token.auth,
            "CLIENT_ID": side.client.id, "CLIENT_SECRET_FILE": self.secret(f"{side.key}.secret", side.client.secret),
            "TOKEN_FORM": urlencode(scope | side.token.form),
        }
        if side.introspection:
            found |= {
                "INTROSPECT_URL": side.introspection.url, "INTROSPECT_AUTH": side.introspection.auth,
                "INTROSPECT_FORM": urlencode(side.introspection.form), "CLIENT_CLAIM": side.client_field or "none",
                "INTROSPECT_CLIENT_ID": side.asker.id,
                "INTROSPECT_CLIENT_SECRET_FILE": self.secret(f"{side.key}-asker.secret", side.asker.secret),
            }
        if side.revocation:
            found["REVOKE_URL"] = side.revocation.url
        return found

    def run(self, side: Side, rate: int, seconds: int, scenarios: list[str]) -> dict[str, Fixed]:
        """One scenario after the other; what each came to."""
        self.turn += 1
        results, log = self.directory / f"{self.turn}-{side.key}", self.directory / f"{self.turn}-{side.key}.log"
        environment = self.environment(side, rate, seconds, scenarios, results)
        limit = seconds * len(scenarios) + AROUND
        process = self.processes.start([str(LOADTEST / "run.sh")], log, env=environment, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"k6 did not end within {limit} s") from None
        finally:
            # It stops k6 in its turn.
            self.processes.stop(process)
        if code not in (0, 99):
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise CannotMeasure(f"k6 cannot measure {side.product}: {said[-1].removeprefix('loadtest: ') if said else code}")
        summary: dict[str, Any] = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        shutil.rmtree(results)
        self.version = str(summary["generator"]["k6"])
        return {scenario["name"]: fixed(scenario) for scenario in summary["scenarios"]}


def fixed(scenario: dict[str, Any]) -> Fixed:
    times = scenario["milliseconds"] or {"p50": 0, "p95": 0, "p99": 0, "max": 0}
    kinds = scenario["errors"] | {f"wrong: {what}": count for what, count in scenario["wrong_answers"].items()}
    return Fixed(scenario["requests_per_second"], times["p50"], times["p95"], times["p99"], times["max"],
                 sum(kinds.values()), kinds, scenario["dropped_iterations"])
