"""The documented metrics against the dashboards: each that is for people is in a panel or has a reason why not, and no panel has another."""

import re

from dashboards import ROOT, base_name, parse, queries, selectors

DOCUMENT = ROOT / "docs/metrics.md"
WITHOUT_PANEL = ROOT / "grafana/without-panel.txt"
RULES = ROOT / "alerts/oauth2-server.rules.yaml"


def documented():
    """The names in the first column of the tables, by whether their column Panel says that they are for people."""
    names, column = {}, None
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| Name "):
            column = cells.index("Panel") if "Panel" in cells else None
        elif match := re.match(r"\| `(oauth2_server_\w+)", line):
            names[match.group(1)] = column is None or cells[column] == "yes"
    return names


def without_panel():
    lines = [line.split(None, 1) for line in WITHOUT_PANEL.read_text().splitlines() if line and not line.startswith("#")]
    return {line[0]: line[1] if len(line) > 1 else "" for line in lines}


def recorded():
    return set(re.findall(r"record: \"?([\w:]+)", RULES.read_text()))


def check(dashboards):
    failures, shown = [], set()
    names, rules = documented(), recorded()
    for name, dashboard in dashboards.items():
        for query in queries(name, dashboard):
            for metric in {each.name for each in selectors(parse(query.expr, dashboard))}:
                shown |= {metric, base_name(metric)}
                if ":" in metric:
                    known = metric in rules
                else:
                    known = metric.startswith("k6_") or metric in names or base_name(metric) in names
                if not known:
                    failures.append(f"{query}: {metric} is neither in {DOCUMENT.name} nor a recording rule")
    excused = without_panel()
    people = {metric for metric, is_for_people in names.items() if is_for_people}
    for metric in sorted(people - shown - set(excused)):
        failures.append(f"{metric} is in no panel: add one, or a reason to grafana/{WITHOUT_PANEL.name}")
    for metric, reason in excused.items():
        if metric in shown or metric not in names:
            failures.append(f"grafana/{WITHOUT_PANEL.name}: {metric} {'is in a panel' if metric in shown else 'does not exist'}")
        if not reason:
            failures.append(f"grafana/{WITHOUT_PANEL.name}: {metric} has no reason")
    return failures, len(people)
