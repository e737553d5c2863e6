"""Checks the dashboards: their source, types, rules and units, every query against a real Prometheus, and that no metric is forgotten.

usage: check_dashboards.py [--static] [--store sqlite|postgres]… [--seconds N] [--zeros]
  --static   without a server
  --zeros    also list the queries that answered only 0
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import catalogue
import dashboards
import forms
import lint
import live
import selftest
import units

sys.path.insert(0, str(Path(__file__).resolve().parent / "types"))
import check as types  # noqa: E402


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def line(self, name, failures, detail):
        failures = list(failures)
        for failure in failures:
            print(f"FAILED {name}: {failure}")
        self.failed += len(failures)
        if not failures:
            self.passed += 1
            print(f"ok {name}: {detail}")
        sys.stdout.flush()


def source():
    result = subprocess.run([Path(__file__).parent / "generate", "--check"], capture_output=True, text=True)
    return result.stderr.splitlines() if result.returncode else []


def static(report, loaded):
    report.line("source", source(), f"{len(loaded)} dashboards equal what Jsonnet generates")
    with tempfile.TemporaryDirectory() as directory:
        failures, compiled = types.check(Path(directory))
        report.line("types", failures, f"{compiled} compilations against @grafana/schema {' and '.join(types.PACKAGES)}")
    failures, excused = lint.check(loaded)
    report.line("lint", failures, f"the rules of dashboard-linter hold; {excused} findings excused in grafana/json/.lint")
    failures, checked = units.check(loaded)
    report.line("units", failures, f"{checked} queries compute what the unit of their panel says")
    failures, names = catalogue.check(loaded)
    report.line("catalogue", failures, f"{names} metrics for people are in a panel or have a reason")
    report.line("selftest", selftest.check(loaded), f"{len(selftest.BREAKS)} deliberate mistakes are noticed")
    failures, files = forms.check(loaded)
    report.line("forms", failures, f"{files} other forms agree with the dashboards: provisioning, sidecar, Grafana Operator, mixin")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--store", action="append", choices=["sqlite", "postgres"])
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--zeros", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    loaded, report = dashboards.load_all(), Report()
    static(report, loaded)
    for store in [] if options.static else options.store or ["sqlite", "postgres"]:
        failures, counts, zeros, version = live.check(loaded, store, options.seconds)
        for name, count in counts.items():
            own = [failure for failure in failures if failure.startswith(name)]
            report.line(f"live {store} {name}", own, f"{count} queries answer with numbers")
        others = [failure for failure in failures if failure.split(":", 1)[0] not in counts]
        detail = f"{sum(counts.values()) - len(zeros)} queries with more than zeros, {len(zeros)} with 0 only"
        report.line(f"live {store}", others, f"{detail}; Prometheus {version}")
        if options.zeros:
            print(*(f"  0 only: {query}" for query in zeros), sep="\n")
    print(f"\nin {time.monotonic() - began:.0f} s")
    print(f"check-dashboards: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
