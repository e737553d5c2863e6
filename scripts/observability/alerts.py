"""Checks of every alert that promtool does not make. Run by scripts/check-alerts; needs jsonnet, promtool and amtool on the PATH."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention"]
RECEIVERS = {"critical": "pager", "warning": "tickets", "info": "notices", "none": "watchdog"}
# The receiver shows that it no longer fires; no rule can.
ALWAYS_FIRING = {"Watchdog"}
# Metrics of Prometheus itself, of node_exporter, of postgres_exporter, and of deploy/backup by the textfile collector of node_exporter.
FOREIGN = {
    "up",
    "scrape_samples_scraped",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "pg_database_size_bytes",
    "oauth2_backup_last_success_timestamp_seconds",
    "oauth2_backup_last_size_bytes",
    "node_textfile_scrape_error",
    "prometheus_notifications_alertmanagers_discovered",
    "ALERTS",
}

failures = []


def fail(text):
    failures.append(text)


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def jsonnet(code, *options):
    done = run("jsonnet", *options, "-e", code, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def metrics_of(expression):
    """The metrics that an expression reads: its identifiers without functions, labels and operators."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    names = re.findall(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()", text)
    words = {"and", "or", "unless", "offset", "bool", "by", "on", "without", "group_left", "NaN", "Inf"}
    # `sum by (..) (..)` has lost its list above.
    words |= {"sum", "max", "min", "count", "avg", "topk", "s", "m", "h", "d"}
    return {name for name in names if name not in words}


def documented_metrics():
    text = (ROOT / "docs" / "metrics.md").read_text()
    return set(re.findall(r"`(oauth2_server_\w+)`", text))


def check_metrics(where, expression, recorded, documented):
    for name in metrics_of(expression):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if name not in FOREIGN | recorded and not {name, base} & documented:
            fail(f"{where}: {name} is not in docs/metrics.md, not recorded, and not in the list of foreign metrics")


def check_cases(names, tests):
    fired, silent = set(), set()
    for theme in tests.values():
        for case in (case for test in theme["tests"] for case in test.get("alert_rule_test", [])):
            (fired if case["exp_alerts"] else silent).add(case["alertname"])
    for name in names:
        if name not in fired:
            fail(f"{name}: no case in alerts/tests in which it fires")
        if name not in silent | ALWAYS_FIRING:
            fail(f"{name}: no case in alerts/tests in which it is silent")
    for name in (fired | silent) - names:
        fail(f"alerts/tests: there is no alert {name}")


def check_annotations(rule):
    name, notes = rule["alert"], rule["annotations"]
    for key in ["summary", "description", "dashboard_url", "runbook_url"]:
        if not notes.get(key):
            fail(f"{name}: no {key}")
    if "$value" not in notes["description"]:
        fail(f"{name}: the description does not have the value")
    if not notes["runbook_url"].endswith(f"/docs/runbooks/{name}.md"):
        fail(f"{name}: runbook_url is {notes['runbook_url']}")
    uid = re.search(r"/d/([\w-]+)", notes["dashboard_url"]).group(1)
    dashboards = ROOT / "grafana" / "json"
    if dashboards.is_dir() and not any(json.loads(path.read_text())["uid"] == uid for path in dashboards.glob("*.json")):
        fail(f"{name}: there is no dashboard with the uid {uid} in grafana/json")


def check_route(rule):
    labels = {"alertname": rule["alert"], "job": "oauth2-server", **rule["labels"]}
    pairs = [f"{key}={value}" for key, value in labels.items()]
    expected = RECEIVERS[rule["labels"]["severity"]]
    found = run("amtool", "config", "routes", "test", "--config.file=alerts/alertmanager.yaml", *pairs, cwd=ROOT)
    if found.returncode != 0 or found.stdout.strip() != expected:
        fail(f"{rule['alert']}: routed to {found.stdout.strip() or found.stderr.strip()}, not to {expected}")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def check_runbooks(names, recorded, documented):
    files = {path.stem: path for path in RUNBOOKS.glob("*.md")}
    for name in names - files.keys():
        fail(f"docs/runbooks/{name}.md is missing")
    for name in files.keys() - names:
        fail(f"docs/runbooks/{name}.md: there is no such alert")
    queries = []
    for name, path in sorted(files.items()):
        text = path.read_text()
        if re.findall(r"^## (.+)$", text, re.M) != SECTIONS or not text.startswith(f"# {name}\n"):
            fail(f"docs/runbooks/{name}.md: the title must be the alert, the sections {', '.join(SECTIONS)}")
        if not blocks(text, "promql") and name not in ALWAYS_FIRING:
            fail(f"docs/runbooks/{name}.md: no query")
        for query in blocks(text, "promql"):
            check_metrics(f"docs/runbooks/{name}.md", query, recorded, documented)
            queries.append(query)
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in link and not (path.parent / link).exists():
                fail(f"docs/runbooks/{name}.md: {link} does not exist")
    check_queries(queries)
    index = (ROOT / "docs" / "alerts.md").read_text()
    for name in names:
        if f"(runbooks/{name}.md)" not in index:
            fail(f"docs/alerts.md: {name} is not in the index")


def check_queries(queries):
    """promtool parses the queries of the runbooks as rules."""
    rules = [{"record": f"runbook:query:{number}".replace("-", "_"), "expr": query} for number, query in enumerate(queries)]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"groups": [{"name": "runbooks", "rules": rules}]}, file)
        file.flush()
        done = run("promtool", "check", "rules", file.name)
        if done.returncode != 0:
            fail(f"a query of a runbook is invalid: {done.stdout}{done.stderr}")


def check_mixin():
    """A fleet's own selector reaches every selector, its labels every aggregation, and its options their rules."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "oauth2-server").symlink_to(ROOT)
        code = """
            local mixin = (import 'oauth2-server/alerts/mixin.libsonnet') + {
              _config+:: {
                selector: 'app="auth"', groupLabels: ['cluster', 'app'], watchdog: false, databaseSizeLimit: 100 * 1000 * 1000 * 1000,
                thresholds+: { series: 4321 },
              },
            };
            { rules: mixin.prometheusRules, alerts: mixin.prometheusAlerts }
        """
        rendered = jsonnet(code, "-J", directory)
        path = Path(directory) / "rules.yaml"
        groups = rendered["rules"]["groups"] + rendered["alerts"]["groups"]
        path.write_text(json.dumps({"groups": groups}))
        done = run("promtool", "check", "rules", "--lint=all", str(path))
        if done.returncode != 0:
            fail(f"the mixin with another selector: {done.stdout}{done.stderr}")
    text = json.dumps(groups)
    for forbidden in ["oauth2-server\\\"", "by (job", "on (job", "$labels.job", "Watchdog", "job_endpoint:"]:
        if forbidden in text:
            fail(f"the mixin with another selector still has {forbidden}")
    for wanted in ["cluster_app_endpoint:oauth2_server_availability_errors:ratio_rate1h", "pg_database_size_bytes", "> 4321"]:
        if wanted not in text:
            fail(f"the mixin with another selector does not have {wanted}")
    for rule in (rule for group in groups for rule in group["rules"]):
        for metric, selector in re.findall(r"(?<![\w:])(oauth2_server_\w+|up)\{([^}]*)\}", rule["expr"]):
            if 'app="auth"' not in selector:
                fail(f"the mixin with another selector: {metric}{{{selector}}}")


def main():
    mixin = jsonnet("local m = import 'alerts/mixin.libsonnet'; { rules: m.prometheusRules, alerts: m.prometheusAlerts }")
    alerts = [rule for group in mixin["alerts"]["groups"] for rule in group["rules"]]
    rules = [rule for group in mixin["rules"]["groups"] for rule in group["rules"]]
    tests = {path.stem: jsonnet(f"import '{path.relative_to(ROOT)}'") for path in (ROOT / "alerts/tests/source").glob("*.libsonnet") if path.stem != "lib"}
    for theme in tests:
        if not (ROOT / f"alerts/tests/{theme}.yaml").exists():
            fail(f"alerts/tests/source/{theme}.libsonnet is not in alerts/render.jsonnet")
    names = {rule["alert"] for rule in alerts}
    recorded = {rule["record"] for rule in rules}
    documented = documented_metrics()
    check_cases(names, tests)
    for rule in rules + alerts:
        check_metrics(rule.get("alert") or rule["record"], rule["expr"], recorded, documented)
    routed = set()
    for rule in alerts:
        check_annotations(rule)
        key = (rule["alert"], rule["labels"]["severity"])
        if key not in routed:
            routed.add(key)
            check_route(rule)
    check_runbooks(names, recorded, documented)
    check_mixin()
    for failure in failures:
        print(f"check-alerts: {failure}", file=sys.stderr)
    if failures:
        sys.exit(1)
    print(f"check-alerts: {len(names)} alerts in {len(alerts)} rules, {len(recorded)} recorded series")


main()
