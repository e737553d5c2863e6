"""Every query of the dashboards against a real Prometheus that scraped a real server under load: each must answer with a number."""

import math
import os
import subprocess
import tempfile
import time
from pathlib import Path

import traffic
from dashboards import ROOT, Query, annotations, fill_in, label_variables, parse, queries, selectors, values_of
from stack import Postgres, Prometheus, Server, Stack

RULES = ROOT / "alerts/oauth2-server.rules.yaml"
NOT_ON_STORE = ROOT / "grafana/not-on-store.txt"
STEP = 5


def absent_on(store):
    """Metrics that cannot exist on a store, or need not in a run ("any"), by which of both."""
    lines = [line.split(None, 2) for line in NOT_ON_STORE.read_text().splitlines() if line and not line.startswith("#")]
    return {metric: each for each, metric, _ in lines if each in (store, "any")}


def k6(server, prometheus, directory, seconds, options=None):
    """All scenarios of loadtest/ at once, with its metrics in Prometheus."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OAUTH2_", "K6_"))}
    environment |= {
        "BASE_URL": server.url,
        "ADMIN_URL": server.management,
        "ADMIN_TOKEN": server.token,
        "PROFILE": "smoke",
        "DURATION": f"{seconds}s",
        "RESULTS_DIR": str(directory / "k6"),
        "K6_OUT": "experimental-prometheus-rw",
        "K6_PROMETHEUS_RW_SERVER_URL": f"{prometheus.url}/api/v1/write",
        "K6_PROMETHEUS_RW_TREND_STATS": "p(50),p(95),p(99),max",
        "K6_PROMETHEUS_RW_PUSH_INTERVAL": "1s",
        **(options or {}),
    }
    log = (directory / "k6.log").open("w")
    return subprocess.Popen([ROOT / "loadtest/run.sh"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def has_number(series):
    """Whether a result has a value that is a number."""
    points = [value for each in series for value in each.get("values", [each.get("value")])]
    return any(not math.isnan(float(value)) for _, value in points)


def is_zero(series):
    return all(float(value) == 0 for each in series for _, value in each.get("values", [each.get("value")]))


class Run:
    """A server under load, scraped each second."""

    def __init__(self, stack, store, seconds):
        self.store, self.absent = store, absent_on(store)
        database = Postgres(stack).url if store == "postgres" else None
        # The primary as its own replica: the metrics of reads exist.
        self.server = Server(stack, database=database, options=database and {"OAUTH2_DATABASE_READ_URL": database})
        self.prometheus = Prometheus(stack, {"oauth2-0": self.server.target}, [RULES])
        stack.wait_for("prometheus", self.prometheus.process, lambda: self.prometheus.instant("up == 1", time.time()))
        self.start = time.time()
        # k6 registers its clients first, and removes them in the end.
        load = k6(self.server, self.prometheus, stack.directory, seconds)
        others = traffic.start(self.server, seconds + 5)
        if load.wait(seconds + 120) not in (0, 99):
            raise SystemExit("loadtest/run.sh failed:\n" + (stack.directory / "k6.log").read_text()[-2000:])
        others.join()
        time.sleep(2)
        self.end = time.time()
        self.version = self.prometheus.call("status/buildinfo")["version"]
        self.names = set(self.prometheus.call("label/__name__/values"))

    def values(self, dashboard):
        return values_of(dashboard, {"__range": f"{int(self.end - self.start)}s", "__rate_interval": "15s"})

    def answer(self, query, dashboard):
        expr = fill_in(query.expr, self.values(dashboard))
        if query.instant:
            return self.prometheus.instant(expr, self.end)
        return self.prometheus.range(expr, self.start, self.end, STEP)


def judge(run, query, dashboard):
    """Why a query is useless, or None; and its result."""
    metrics = {each.name for each in selectors(parse(query.expr, dashboard))}
    missing = metrics - run.names - set(run.absent)
    if missing:
        return f"no such metric: {', '.join(sorted(missing))}", []
    try:
        result = run.answer(query, dashboard)
    except ValueError as error:
        return f"{error}: {query.expr}", []
    if has_number(result) or any(run.absent.get(metric) == run.store for metric in metrics):
        return None, result
    return f"{'only NaN' if result else 'no series'}: {query.expr}", result


# Queries that must be judged useless, so that the check is known to be able to fail.
CANARIES = {
    "no such metric": 'sum(rate(oauth2_server_http_request_total{job=~"$job"}[$__rate_interval]))',
    "no series": 'sum(rate(oauth2_server_http_requests_total{job=~"$job", code="200"}[$__rate_interval]))',
    "only NaN": '0 * sum(rate(oauth2_server_http_requests_total{job=~"$job"}[$__rate_interval])) / 0',
    "invalid parameter": 'sum(rate(oauth2_server_http_requests_total{job=~"$job"}[$__rate_interval])) by',
}


def canaries(run, dashboard):
    for expected, expr in CANARIES.items():
        try:
            why, _ = judge(run, Query("canary", expected, "A", expr, False, "time_series"), dashboard)
        except ValueError:
            # The parser rejects it before Prometheus does.
            why = "invalid parameter"
        if not (why or "").startswith(expected):
            yield f"a broken query passes: {expr}"


def check(dashboards, store, seconds):
    """Returns the failures, by dashboard the number of queries, the queries that answered only 0, and the version of Prometheus."""
    failures, counts, zeros = [], {}, []
    with tempfile.TemporaryDirectory(prefix="check-dashboards-") as directory, Stack(Path(directory)) as stack:
        run = Run(stack, store, seconds)
        failures += canaries(run, next(iter(dashboards.values())))
        for metric, kind in run.absent.items():
            if kind == store and metric in run.names:
                failures.append(f"{metric} exists on {store}: remove it from {NOT_ON_STORE.name}")
        for name, dashboard in dashboards.items():
            counts[name] = 0
            for query in queries(name, dashboard):
                counts[name] += 1
                why, result = judge(run, query, dashboard)
                if why:
                    failures.append(f"{query}: {why}")
                elif is_zero(result):
                    zeros.append(str(query))
            failures += check_rest(name, dashboard, run)
    return failures, counts, zeros, run.version


def check_rest(name, dashboard, run):
    """Variables and annotations."""
    for variable in label_variables(dashboard):
        expr = fill_in(variable["query"]["query"], run.values(dashboard))
        selector, label = expr.removeprefix("label_values(").removesuffix(")").rsplit(",", 1)
        if not run.prometheus.call(f"label/{label.strip()}/values", **{"match[]": selector, "start": run.start, "end": run.end}):
            yield f"{name}: the variable {variable['name']} has no values: {expr}"
    for annotation in annotations(dashboard):
        result = run.prometheus.range(fill_in(annotation["expr"], run.values(dashboard)), run.start, run.end, STEP)
        starts = {float(value) / 1000 for each in result for _, value in each["values"]}
        if len(starts) != 1 or not run.start - 300 < starts.pop() < run.end:
            yield f"{name}: the annotation {annotation['name']!r} does not mark the start of the server"
