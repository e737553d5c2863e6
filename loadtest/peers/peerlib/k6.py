"""Runs the load test of this repository, `loadtest/run.sh`, against one side at a fixed rate."""

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

from .errors import MeasurementError
from .private_files import write_private
from .sides import Side

LOADTEST = Path(__file__).resolve().parent.parent.parent
#: Seconds allowed for start, setup and report, in addition to the load.
OVERHEAD = 120
#: Seconds allowed for building k6.
BUILDING = 1200
#: The variables of our environment that are passed on.
PASSED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE")


@dataclass
class FixedRateResult:
    rate: float
    p50: float
    p95: float
    p99: float
    longest: float
    errors: int
    error_types: dict[str, int]
    dropped: int


class K6:
    def __init__(self, processes: Processes, directory: Path) -> None:
        self.processes, self.directory = processes, directory / "k6"
        self.directory.mkdir()
        self.runs = 0
        # Resolved once in advance: building k6 takes minutes.
        self.program = processes.run([str(LOADTEST / "k6.sh")], timeout=BUILDING).strip()
        #: Set by the first run.
        self.version = ""

    def environment(self, side: Side, rate: int, seconds: int, scenarios: list[str], results: Path) -> dict[str, str]:
        def secret_file(name: str, secret: str) -> str:
            return str(write_private(self.directory / f"{name}.secret", secret))

        found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        scope = {"scope": side.scope} if side.scope else {}
        found |= {
            "K6": self.program, "TMPDIR": str(self.directory), "PROFILE": "compare", "RATE": str(rate), "DURATION": f"{seconds}s",
            "SCENARIOS": " ".join(scenarios), "RESULTS_DIR": str(results),
            "PRODUCT": side.name, "TOKEN_URL": side.token.url, "CLIENT_AUTH": side.token.auth,
            "CLIENT_ID": side.client.id, "CLIENT_SECRET_FILE": secret_file(side.key, side.client.secret),
            "TOKEN_FORM": urlencode(scope | side.token.form),
        }
        if side.introspection:
            found |= {
                "INTROSPECT_URL": side.introspection.url, "INTROSPECT_AUTH": side.introspection.auth,
                "INTROSPECT_FORM": urlencode(side.introspection.form), "CLIENT_CLAIM": side.client_field or "none",
                "INTROSPECT_CLIENT_ID": side.introspection_client.id,
                "INTROSPECT_CLIENT_SECRET_FILE": secret_file(f"{side.key}-introspection", side.introspection_client.secret),
            }
        if side.revocation:
            found["REVOKE_URL"] = side.revocation.url
        return found

    def run(self, side: Side, rate: int, seconds: int, scenarios: list[str]) -> dict[str, FixedRateResult]:
        """Runs the scenarios one after the other; returns the result of each."""
        self.runs += 1
        results, log = self.directory / f"{self.runs}-{side.key}", self.directory / f"{self.runs}-{side.key}.log"
        environment = self.environment(side, rate, seconds, scenarios, results)
        limit = seconds * len(scenarios) + OVERHEAD
        process = self.processes.start([str(LOADTEST / "run.sh")], log, env=environment, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"k6 did not exit within {limit} s") from None
        finally:
            # run.sh stops k6 in turn.
            self.processes.stop(process)
        if code not in (0, 99):
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1].removeprefix("loadtest: ") if lines else code
            raise MeasurementError(f"k6 cannot measure {side.product}: {reason}")
        summary: dict[str, Any] = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        shutil.rmtree(results)
        self.version = str(summary["generator"]["k6"])
        return {scenario["name"]: result_of(scenario) for scenario in summary["scenarios"]}


def result_of(scenario: dict[str, Any]) -> FixedRateResult:
    times = scenario["milliseconds"] or {"p50": 0, "p95": 0, "p99": 0, "max": 0}
    types = scenario["errors"] | {f"wrong: {what}": count for what, count in scenario["wrong_answers"].items()}
    return FixedRateResult(scenario["requests_per_second"], times["p50"], times["p95"], times["p99"], times["max"],
                           sum(types.values()), types, scenario["dropped_iterations"])
