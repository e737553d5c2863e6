"""Whether the unit of a panel agrees with what its queries compute, judged by the suffixes of the metrics."""

import re

import promql_parser as promql

from dashboards import base_name, panels, parse, selectors

ALLOWED = {
    "seconds": {"s", "dtdurations"},
    "bytes": {"bytes", "decbytes"},
    "bytes per second": {"Bps"},
    "ratio": {"percentunit"},
    "per second": {"ops", "reqps", "cps", "rps", "wps", "iops"},
    "count": {"short", "none", "bool"},
    # CPU time per time: how many CPUs, or which share of one.
    "CPUs": {"none", "short", "percentunit"},
    # A number of things per thing of another kind, such as rows per commit, or a multiple, such as a burn rate.
    "quotient": {"none", "short"},
    "time": {"dateTimeAsIso", "dateTimeFromNow"},
}
NUMBER = "number"


def of_metric(name):
    if name.startswith("k6_vus"):
        return "count"
    if name.startswith("k6_"):
        if re.search(r"_(p\d+|max|min|avg|med)$", name):
            return "seconds"
        if name.endswith("_rate"):
            return "ratio"
        if re.search(r"_data_(sent|received)_total$", name):
            return "bytes total"
        return "events" if name.endswith("_total") else "count"
    if ":" in name:
        operation = name.rsplit(":", 1)[1]
        if operation.startswith(("ratio", "remaining")):
            return "ratio"
        if operation == "objective":
            return "seconds" if "seconds" in name else "ratio"
        if "seconds" in name and re.match(r"p\d+", operation):
            return "seconds"
        return "per second"
    if name.endswith("_timestamp_seconds") or name.endswith("_start_time_seconds"):
        return "timestamp"
    if name.endswith("_seconds_total"):
        return "seconds total"
    if name.endswith("_bytes_total"):
        return "bytes total"
    if name.endswith("_count"):
        return "events"
    if name.endswith("_total"):
        return "events"
    for suffix, unit in (("_seconds_sum", "seconds total"), ("_seconds", "seconds"), ("_bytes", "bytes"), ("_share", "ratio"), ("_ratio", "ratio")):
        if name.endswith(suffix):
            return unit
    return "events" if name.endswith(("_bucket", "_sum")) else "count"


def per_second(unit):
    return {"seconds total": "CPUs", "bytes total": "bytes per second", "events": "per second"}.get(unit, f"rate of {unit}")


def divide(left, right):
    if right == NUMBER:
        return left
    if left == right and left != "ratio":
        return "ratio" if left != "per second" else "ratio or quotient"
    if left == "ratio" and right == "ratio":
        return "quotient"
    if left == "CPUs" and right == "count":
        return "ratio"
    # Seconds of something, per second, by how often per second.
    if left == "CPUs" and right == "per second":
        return "seconds"
    return f"{left} / {right}"


def infer(node):
    """What an expression computes: a key of ALLOWED, or something that no unit is for."""
    match node:
        case promql.NumberLiteral():
            return NUMBER
        case promql.VectorSelector():
            return of_metric(node.name)
        case promql.MatrixSelector():
            return infer(node.vector_selector)
        case promql.ParenExpr() | promql.UnaryExpr():
            return infer(node.expr)
        case promql.AggregateExpr():
            if str(node).startswith("count"):
                return "count"
            return infer(node.expr)
        case promql.Call():
            name = node.func.name
            if name in ("rate", "irate"):
                return per_second(infer(node.args[0]))
            if name == "increase":
                return "count" if infer(node.args[0]) == "events" else infer(node.args[0])
            if name == "histogram_quantile":
                metric = next(each for each in names(node.args[1]))
                return of_metric(base_name(metric))
            if name == "vector":
                return NUMBER
            if name == "time":
                return "timestamp"
            return infer(node.args[0])
        case promql.BinaryExpr():
            left, right, operator = infer(node.lhs), infer(node.rhs), str(node.op)
            if operator == "/":
                return divide(left, right)
            if operator == "*":
                if "timestamp" in (left, right) or left == "time":
                    return "time"
                return right if left == NUMBER else left
            if operator == "-" and left == right == "timestamp":
                return "seconds"
            if operator in ("or", "+", "-"):
                if NUMBER in (left, right):
                    return right if left == NUMBER else left
                return left if left == right else f"{left} {operator} {right}"
            return left
    raise ValueError(f"no unit of {node}")


def names(node):
    return [each.name for each in selectors(node)]


def unit_of_query(panel, target):
    """That of its column in a table, or of its series by an override, or the panel's."""
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        columns = [rename for step in panel.get("transformations", []) for rename in step["options"].get("renameByName", {}).items()]
        titles = [title for field, title in columns if field == f"Value #{target['refId']}"] + [target["legendFormat"]]
        if matcher["id"] == "byName" and matcher["options"] in titles:
            for each in override["properties"]:
                if each["id"] == "unit":
                    return each["value"]
    return panel["fieldConfig"]["defaults"]["unit"]


def shown_as_column(panel, target):
    if panel["type"] != "table":
        return True
    return any(f"Value #{target['refId']}" in step["options"].get("renameByName", {}) for step in panel["transformations"])


def check(dashboards):
    failures, checked = [], 0
    for name, dashboard in dashboards.items():
        for panel in panels(dashboard):
            for target in panel.get("targets", []):
                if not shown_as_column(panel, target):
                    continue
                checked += 1
                tree = parse(target["expr"], dashboard)
                if target.get("format") == "heatmap":
                    computed = of_metric(base_name(names(tree)[0]))
                else:
                    computed = infer(tree)
                unit = unit_of_query(panel, target)
                allowed = ALLOWED["ratio"] | ALLOWED["quotient"] if computed == "ratio or quotient" else ALLOWED.get(computed, set())
                if unit not in allowed:
                    failures.append(f"{name}: {panel['title']!r}: the unit is {unit}, but the query computes {computed}: {target['expr']}")
    return failures, checked
