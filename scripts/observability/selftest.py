"""Makes one mistake at a time in a dashboard: the check of that kind of mistake must fail."""

import copy

import catalogue
import lint
import units
from dashboards import panels


def panel_of(dashboard, kind="timeseries"):
    return next(panel for panel in panels(dashboard) if panel["type"] == kind and "rate(" in panel["targets"][0]["expr"])


def replace(old, new):
    def change(dashboard):
        target = panel_of(dashboard)["targets"][0]
        assert old in target["expr"], f"{old} is not in {target['expr']}"
        target["expr"] = target["expr"].replace(old, new, 1)

    return change


def put(value, *path):
    def change(dashboard):
        place = panel_of(dashboard)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def variable(name, key, value):
    def change(dashboard):
        next(each for each in dashboard["templating"]["list"] if each["name"] == name)[key] = value

    return change


# A mistake, the module that must report it, and a part of its message.
BREAKS = [
    ("no description", lint, "panel-title-description-rule", put("", "description")),
    ("a fixed data source", lint, "panel-datasource-rule", put({"type": "prometheus", "uid": "abc"}, "datasource")),
    ("a fixed data source of a query", lint, "panel-datasource-rule", put({"type": "prometheus", "uid": "abc"}, "targets", 0, "datasource")),
    ("no unit", lint, "panel-units-rule", put("", "fieldConfig", "defaults", "unit")),
    ("no query", lint, "panel-no-targets-rule", put([], "targets")),
    ("a syntax error", lint, "target-promql-rule", replace("sum", "sum((")),
    ("a fixed range", lint, "target-rate-interval-rule", replace("$__rate_interval", "5m")),
    ("no choice of jobs", lint, "target-job-rule", replace('job=~"$job", ', "")),
    ("a fixed instance", lint, "target-instance-rule", replace("$instance", "oauth2-0")),
    ("a counter without rate", lint, "target-counter-agg-rule", replace("rate(", "max_over_time(")),
    ("one instance only", lint, "template-instance-rule", variable("instance", "multi", False)),
    ("instances of another time range", lint, "template-on-time-change-reload-rule", variable("instance", "refresh", 1)),
    ("an invalid variable", lint, "template-label-promql-rule", variable("job", "query", {"query": "label_values(up{, job)"})),
    ("the unit of another query", units, "the query computes", put("bytes", "fieldConfig", "defaults", "unit")),
    ("an unknown metric", catalogue, "is neither in", replace("oauth2_server_http_requests_total", "oauth2_server_http_request_total")),
]


def check(dashboards):
    name = "oauth2-overview.json"
    for what, module, expected, change in BREAKS:
        broken = copy.deepcopy(dashboards[name])
        change(broken)
        failures, _ = module.check({name: broken})
        if not any(expected in failure for failure in failures):
            yield f"{what}: {module.__name__} does not notice"
