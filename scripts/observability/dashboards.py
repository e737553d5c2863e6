"""The generated dashboards: their panels, queries and variables, and the syntax trees of the queries."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import promql_parser as promql

ROOT = Path(__file__).resolve().parents[2]
JSON = ROOT / "grafana/json"

# What Grafana fills in, for the syntax of a query.
BUILT_IN = {"__rate_interval": "15s", "__interval": "5s", "__range": "60s", "__range_s": "60"}


@dataclass(frozen=True)
class Query:
    dashboard: str
    panel: str
    ref: str
    expr: str
    instant: bool
    format: str

    def __str__(self):
        return f"{self.dashboard}: {self.panel!r} ({self.ref})"


def load_all():
    """By file name, in order."""
    return {path.name: json.loads(path.read_text()) for path in sorted(JSON.glob("*.json"))}


def panels(dashboard):
    """All panels but rows, those inside collapsed rows included."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(name, dashboard):
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield Query(
                name, panel["title"], target["refId"], target["expr"], target.get("instant", False), target.get("format", "time_series")
            )


def label_variables(dashboard):
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def annotations(dashboard):
    return [each for each in dashboard["annotations"]["list"] if "expr" in each]


def fill_in(text, values):
    """Replaces $name, ${name} and ${name:format}. A name without a value stays, and is then a syntax error or an empty result."""

    def value(match):
        name = match.group(1) or match.group(2)
        return values.get(name, match.group(0))

    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", value, text)


def values_of(dashboard, overrides=None):
    """Every variable as if "All" was chosen."""
    chosen = {variable["name"]: variable.get("allValue", ".+") for variable in label_variables(dashboard)}
    return {**BUILT_IN, **chosen, **(overrides or {})}


def parse(expr, dashboard):
    return promql.parse(fill_in(expr, values_of(dashboard)))


def children(node):
    match node:
        case promql.AggregateExpr():
            return [node.expr] + ([node.param] if node.param is not None else [])
        case promql.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql.MatrixSelector():
            return [node.vector_selector]
        case promql.Call():
            return list(node.args)
        case promql.SubqueryExpr() | promql.UnaryExpr() | promql.ParenExpr():
            return [node.expr]
        case _:
            return []


def walk(node, parents=()):
    """Every node with its ancestors, the nearest last."""
    yield node, parents
    for child in children(node):
        yield from walk(child, (*parents, node))


def selectors(node):
    return [each for each, _ in walk(node) if isinstance(each, promql.VectorSelector)]


def base_name(metric):
    """The name of a metric as it is documented, without the suffix of a histogram's series."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)
