"""The rules of grafana/dashboard-linter, by their names, in strict mode: a warning is a failure.

The linter itself is a Go program without a released module; these are its rules for Prometheus dashboards, and two more: titles are
unique, colours are of Grafana's palette. Exceptions are in grafana/json/.lint, in the linter's format: rule -> reason and entries of
dashboard, panel and targetIdx. An exception that excuses nothing is a failure, too.
"""

import re

import promql_parser as promql
import yaml

from dashboards import BUILT_IN, JSON, fill_in, label_variables, panels, parse, walk

UNITS = set("none short percent percentunit bytes decbytes Bps s ms dtdurations dateTimeAsIso dateTimeFromNow ops reqps rps cps wps iops bool bool_yes_no".split())
TEMPLATED = ("$datasource", "${datasource}")
SHADES = ("", "super-light-", "light-", "semi-dark-", "dark-")
COLORS = {shade + color for shade in SHADES for color in ("red", "orange", "yellow", "green", "blue", "purple")} | {"text", "transparent"}
VARIABLE_QUERY = re.compile(r"^(label_names|label_values|metrics|query_result)\((.+)\)$")
RANGED = ("rate", "irate", "increase")


def dashboard_rules(dashboard):
    variables = dashboard["templating"]["list"]
    sources = [each for each in variables if each["type"] == "datasource"]
    if len(sources) != 1:
        yield "template-datasource-rule", f"{len(sources)} variables for the data source instead of one"
    for source in sources:
        if source["name"] != "datasource" or source["label"] != "Data source" or source["query"] != "prometheus":
            yield "template-datasource-rule", "the variable is not named datasource, labelled Data source, for prometheus"
    for name in ("job", "instance"):
        found = [each for each in variables if each["name"] == name]
        if len(found) != 1:
            yield f"template-{name}-rule", f"no variable {name}"
            continue
        expected = {"type": "query", "label": name.title(), "multi": True, "includeAll": True, "allValue": ".+"}
        for key, value in expected.items():
            if found[0].get(key) != value:
                yield f"template-{name}-rule", f"{key} of the variable {name} is {found[0].get(key)!r}, not {value!r}"
    for variable in label_variables(dashboard):
        if variable["datasource"].get("uid") not in TEMPLATED:
            yield "template-datasource-rule", f"the variable {variable['name']} does not use the chosen data source"
        match = VARIABLE_QUERY.match(variable["query"]["query"])
        try:
            parse(match.group(2).rsplit(",", 1)[0], dashboard)
        except Exception as error:  # a missing match, or a syntax error
            yield "template-label-promql-rule", f"the query of the variable {variable['name']} is invalid: {error}"
        if variable["refresh"] != 2:
            yield "template-on-time-change-reload-rule", f"the variable {variable['name']} is not refreshed when the time range changes"
    if dashboard["editable"]:
        yield "uneditable-dashboard-rule", "the dashboard is editable"


def colors_of(value):
    """All colours in the JSON of a panel."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if key in ("fixedColor", "color") and isinstance(each, str):
            yield each
        elif isinstance(each, (dict, list)):
            yield from colors_of(each)


def panel_rules(panel):
    for color in sorted(set(colors_of(panel.get("fieldConfig", {}))) - COLORS):
        yield "palette-rule", f"{color} is not in Grafana's palette"
    if panel["datasource"].get("uid") not in TEMPLATED:
        yield "panel-datasource-rule", "does not use the chosen data source"
    if not panel.get("title") or not panel.get("description"):
        yield "panel-title-description-rule", "has no title or no description"
    if panel["type"] == "text":
        return
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if unit not in UNITS:
        yield "panel-units-rule", f"has no unit or an unknown one: {unit!r}"
    if not panel.get("targets"):
        yield "panel-no-targets-rule", "has no query"


def target_rules(target, dashboard):
    if target["datasource"].get("uid") not in TEMPLATED:
        yield "panel-datasource-rule", "does not use the chosen data source"
    expr = target["expr"]
    try:
        # The variables in matchers stay as they are.
        tree = promql.parse(fill_in(expr, BUILT_IN))
    except Exception as error:
        yield "target-promql-rule", f"{error}: {expr}"
        return
    # Of what the variables do not fill in, so that a fixed range is seen.
    if re.search(r"\[(?!\$__rate_interval\]|\$__range\]|\$__interval\])", expr):
        yield "target-rate-interval-rule", f"a range is not $__rate_interval: {expr}"
    if re.search(r"\b(i?rate)\s*\([^\[]*\[(?!\$__rate_interval\])", expr):
        yield "target-rate-interval-rule", f"a rate is not over $__rate_interval: {expr}"
    for node, parents in walk(tree):
        if not isinstance(node, promql.VectorSelector):
            continue
        for label in ("job", "instance"):
            matchers = [each for each in node.matchers.matchers if each.name == label]
            if [(each.op, each.value) for each in matchers] != [(promql.MatchOp.Re, f"${label}")]:
                yield f"target-{label}-rule", f'a selector of {node.name} lacks {label}=~"${label}"'
        ranged = (
            len(parents) >= 2
            and isinstance(parents[-1], promql.MatrixSelector)
            and isinstance(parents[-2], promql.Call)
            and parents[-2].func.name in RANGED
        )
        if re.search(r"_(total|bucket|sum|count)$", node.name) and ":" not in node.name and not ranged:
            yield "target-counter-agg-rule", f"the counter {node.name} is not inside rate, irate or increase"
        if node.name.endswith("_bucket"):
            quantile = any(isinstance(each, promql.Call) and each.func.name == "histogram_quantile" for each in parents)
            if not quantile and target.get("format") != "heatmap":
                yield "target-histogram-rule", f"the buckets of {node.name} are neither a quantile nor a heatmap"


def findings(dashboard):
    """(rule, panel, index of the target, message) of everything that a rule says."""
    for rule, message in dashboard_rules(dashboard):
        yield rule, None, None, message
    titles = [panel["title"] for panel in panels(dashboard)]
    for title in sorted({each for each in titles if titles.count(each) > 1}):
        yield "unique-title-rule", title, None, "another panel has the same title"
    for panel in panels(dashboard):
        for rule, message in panel_rules(panel):
            yield rule, panel["title"], None, message
        for index, target in enumerate(panel.get("targets", [])):
            for rule, message in target_rules(target, dashboard):
                yield rule, panel["title"], index, message


def check(dashboards):
    """Returns the failures, and the number of findings that an exception excuses."""
    exclusions = yaml.safe_load((JSON / ".lint").read_text())["exclusions"]
    failures, excused, used = [], 0, set()
    for rule, exclusion in exclusions.items():
        if not exclusion.get("reason") or not exclusion.get("entries"):
            failures.append(f".lint: {rule} has no reason or no entries")
    for name, dashboard in dashboards.items():
        for rule, panel, index, message in findings(dashboard):
            for number, entry in enumerate(exclusions.get(rule, {}).get("entries", [])):
                if (
                    entry["dashboard"] == dashboard["title"]
                    and entry.get("panel", panel) == panel
                    and entry.get("targetIdx", index) == index
                ):
                    used.add((rule, number))
                    excused += 1
                    break
            else:
                where = f"{name}: {panel!r}" if panel else name
                failures.append(f"{where}: {rule}: {message}")
    for rule, exclusion in exclusions.items():
        for number, entry in enumerate(exclusion.get("entries", [])):
            if (rule, number) not in used:
                failures.append(f".lint: {rule}: the entry {entry} excuses nothing")
    return failures, excused
