"""Causes each fault on a real server, and checks that exactly the expected alerts fire and resolve. Writes the matrix into docs/alerts.md."""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bus_faults  # noqa: E402, F401
import client_faults  # noqa: E402, F401
import runbook_commands  # noqa: E402
import process_faults  # noqa: E402, F401
import store_faults  # noqa: E402, F401
import time_faults  # noqa: E402, F401
import tls_faults  # noqa: E402, F401
from scene import ROOT, play, render_rules  # noqa: E402
from table import FAULTS  # noqa: E402

PAGE = ROOT / "docs" / "alerts.md"
MARKERS = ("<!-- matrix -->\n", "<!-- /matrix -->\n")


def arguments():
    parser = argparse.ArgumentParser(prog="check-alerts --live", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), metavar="FAULT", help=f"one of: {', '.join(sorted(FAULTS))}")
    parser.add_argument("--jobs", type=int, default=6, help="how many faults at the same time (6)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE, after each fault")
    parser.add_argument("--no-write", action="store_true", help="leave docs/alerts.md as it is")
    parser.add_argument("--break", dest="broken", metavar="ALERT", help="replace the expression of this alert by one that is never true: the check must fail")
    return parser.parse_args()


def run_all(faults, rules, jobs, file=None):
    """Plays the faults, the long ones first, as many at a time as `jobs` allows."""
    waiting = sorted(faults, key=lambda fault: -(fault.baseline + fault.recovery))
    results, lock = {}, threading.Lock()

    def work():
        while True:
            with lock:
                if not waiting:
                    return
                fault = waiting.pop(0)
            began = time.monotonic()
            try:
                result = play(fault, rules)
            except (Exception, SystemExit):
                result = {"fired": {}, "resolved": None, "problems": [traceback.format_exc()]}
            result["seconds"] = round(time.monotonic() - began)
            report(fault, result)
            with lock:
                results[fault.name] = result
                write_json(file, faults, results)

    workers = [threading.Thread(target=work) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def write_json(file, faults, results):
    """The results so far, in the order of the table of faults. A fault without a result was not caused yet."""
    if file:
        rows = [
            {"name": fault.name, "title": fault.title, "expected": sorted(fault.expected), "companions": sorted(fault.companions), **results.get(fault.name, {})}
            for fault in faults
        ]
        file.write_text(json.dumps({"faults": rows}, indent=1) + "\n")


def report(fault, result):
    fired = ", ".join(f"{name} after {at} s" for name, at in sorted(result["fired"].items())) or "nothing"
    verdict = "FAILED" if result["problems"] else "ok"
    print(f"check-alerts: {fault.name} ({result['seconds']} s) {verdict}: {fired}; resolved after {result['resolved']} s", flush=True)
    for problem in result["problems"]:
        print(f"check-alerts: {fault.name}: {problem}", file=sys.stderr, flush=True)


def matrix(faults, results):
    alerts = sorted({name for result in results.values() for name in result["fired"]})
    lines = ["| # | Fault | Resolved after |", "|---|---|---|"]
    for number, fault in enumerate(faults, 1):
        ended = f"{results[fault.name]['resolved']} s" if fault.expected else "-"
        lines.append(f"| {number} | {fault.title} | {ended} |")
    lines += ["", "Seconds until the alert fired; in brackets where it need not fire, depending on the moment.", ""]
    lines += ["| Alert | " + " | ".join(str(number) for number in range(1, len(faults) + 1)) + " |", "|---" * (len(faults) + 1) + "|"]
    for alert in alerts:
        cells = []
        for fault in faults:
            at = results[fault.name]["fired"].get(alert)
            cells.append("" if at is None else str(at) if alert in fault.expected else f"({at})")
        lines.append(f"| [{alert}](runbooks/{alert}.md) | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    options = arguments()
    faults = [fault for fault in FAULTS.values() if not options.only or fault.name in options.only]
    change = ""
    if options.broken:
        change = """ + { prometheusAlerts+:: { groups: [group { rules: [
            if rule.alert == '%s' then rule { expr: 'vector(0) > 1' } else rule for rule in group.rules
        ] } for group in super.groups] } }""" % re.sub(r"\W", "", options.broken)
    if not options.only:
        count, problems = runbook_commands.run()
        for problem in problems:
            print(f"check-alerts: the command fails: {problem}", file=sys.stderr)
        if problems:
            sys.exit(1)
        print(f"check-alerts: {count} commands of runbooks work", flush=True)
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".yaml") as rules:
        render_rules(rules.name, change)
        results = run_all(faults, rules.name, options.jobs, options.json)
    failed = [name for name, result in results.items() if result["problems"]]
    print(f"check-alerts: {len(faults) - len(failed)} of {len(faults)} faults as expected, in {time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(1)
    if not options.only and not options.no_write and not options.broken:
        before, _, rest = PAGE.read_text().partition(MARKERS[0])
        after = rest.partition(MARKERS[1])[2]
        PAGE.write_text(before + MARKERS[0] + matrix(faults, results) + MARKERS[1] + after)


main()
