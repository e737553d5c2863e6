"""The part `answers`: clients keep a ledger while nodes are killed and paused and Postgres crashes; wrong answers are counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from benchlib.processes import BenchError, Processes
from benchlib.report import Table, grouped
from benchlib.servers import Server
from benchlib.stores import Postgres

from . import sabotage
from .chaos import Cluster
from .checker import FALSE_ACTIVE, FALSE_INACTIVE, LOST, MEANINGS, OTHER_NODE, REVIVED, Judgement, judge
from .history import PAUSE, History, Request
from .options import Setup
from .part import FAILED, HELD, NOT_HELD, Part, Timeline, WrongAnswers

#: Seconds of undisturbed requests before, between and after faults.
CALM = 4.0
#: Worker threads of each server.
WORKERS = 1
#: Files of Postgres' write-ahead log: this load needs few.
LOG_FILES = 4


def faults_on_sqlite(cluster: Cluster, rounds: int) -> list[Callable[[], None]]:
    kills: list[Callable[[], None]] = [lambda: cluster.kill("a")] * (2 * rounds)
    return [*kills, lambda: cluster.pause("a")]


def faults_on_postgres(cluster: Cluster, rounds: int) -> list[Callable[[], None]]:
    # The second kind of crash lasts longer than the staleness budget.
    one_round = [lambda: cluster.kill("a"), lambda: cluster.crash_store(2), lambda: cluster.pause("b"), lambda: cluster.kill("a", "b")]
    return [*one_round * rounds, *[lambda: cluster.crash_store(8)] * (rounds > 1)]


def play(setup: Setup, processes: Processes, store: str, broken: str | None, history: History) -> None:
    """Runs the clients and the faults on one store."""
    directory = setup.directory / f"answers-{store}"
    directory.mkdir()
    directory.chmod(0o755)
    postgres = None
    url = f"sqlite://{directory}/server-a/data/oauth2.db"
    if store == "postgres":
        postgres = Postgres(processes, directory, LOG_FILES)
        url = postgres.create("answers")
    servers = {"a": Server(processes, setup.server, "a", url, WORKERS, directory)}
    servers["a"].prepare()
    if store == "postgres":
        servers["b"] = Server(processes, setup.server, "b", url, WORKERS, directory)
        servers["b"].join(servers["a"])
    cluster = Cluster(processes, servers, postgres, history)
    for server in servers.values():
        server.start()
    history.began = time.monotonic()
    cluster.crowd.start()
    try:
        time.sleep(CALM)
        if broken and postgres:
            sabotage.apply(broken, cluster, postgres)
        faults = faults_on_postgres(cluster, setup.rounds) if postgres else faults_on_sqlite(cluster, setup.rounds)
        for cause in faults:
            cause()
            time.sleep(CALM)
    finally:
        cluster.crowd.stop()
        history.ended = time.monotonic()
    # Every node knows every revocation by now.
    time.sleep(OTHER_NODE)
    cluster.crowd.verify()
    if cluster.crowd.failures:
        raise BenchError(cluster.crowd.failures[0])


def measure(setup: Setup, part: Part, store: str, broken: str | None = None) -> None:
    processes, history, is_complete = Processes(), History(), False
    try:
        play(setup, processes, store, broken, history)
        is_complete = True
    finally:
        processes.stop_all()
        judgement = judge(history)
        # Figures measured before a failure or an interruption are shown, too.
        if history.ended:
            describe(part, history, judgement, "SQLite, one node" if store == "sqlite" else "Postgres, two nodes")
            conclude(part, history, judgement, is_complete)


def conclude(part: Part, history: History, judgement: Judgement, is_complete: bool) -> None:
    """Sets the verdict. Of a run that did not reach its end, only what is wrong is reported."""
    part.problems += judgement.examples
    others = Counter(f"{request.operation} {request.detail}" for request in history.requests
                     if request.outcome == "other" and not is_timeout_of_pause(history, request))
    part.problems += [f"unexpected status of {what}: {count} times" for what, count in sorted(others.items())]
    part.verdict = NOT_HELD if judgement.total() or others else HELD
    if not is_complete:
        return
    unchecked = judgement.unchecked()
    if history.unverified:
        part.problems.append(f"{history.unverified} tokens could not be introspected after the last recovery")
    if unchecked:
        part.problems.append(f"the run had no opportunity for: {', '.join(unchecked)}")
    if part.verdict == HELD and (unchecked or history.unverified):
        part.verdict = FAILED


def is_timeout_of_pause(history: History, request: Request) -> bool:
    """Whether a paused node answered 408: while it was stopped, its time limit for reading the request passed."""
    return request.detail == "408" and any(
        fault.kind == PAUSE and request.node in fault.nodes and fault.disturbs(request.began, request.ended) for fault in history.faults)


def describe(part: Part, history: History, judgement: Judgement, what: str) -> None:
    during = [request for request in history.requests if request.ended <= history.ended]
    outcomes = Counter(request.outcome for request in during)
    seconds = history.ended - history.began
    part.wrong_answers.append(WrongAnswers(
        f"faults, {what}", len(during), seconds, outcomes["unavailable"], outcomes["other"], outcomes["connection"],
        judgement.wrong[FALSE_ACTIVE], judgement.wrong[FALSE_INACTIVE], judgement.wrong[LOST], judgement.wrong[REVIVED]))
    part.tables["Wrong answers"] = Table(
        ["wrong answer", "count", "of", "held", "counted are"],
        [[kind, grouped(judgement.wrong[kind]), grouped(judgement.checked[kind]), judgement.wrong[kind] == 0, meaning]
         for kind, meaning in MEANINGS.items()])
    part.tables["Requests"] = requests_table(history, during, seconds)
    part.tables["Faults"] = faults_table(history)
    part.timelines.append(timeline(history, what))
    acknowledged = sum(token.revoked_at is not None for token in history.tokens)
    part.notes.append(
        f"{grouped(len(history.tokens))} tokens were issued and {grouped(acknowledged)} revoked, each acknowledged with 200; "
        f"{grouped(sum(answer.final for answer in history.answers))} introspections after the last recovery checked each of them on each node. "
        f"{grouped(judgement.undecided)} answers are undecided, because their request overlapped a revocation in time, was within its bound, "
        "or the revocation was not acknowledged.")


def requests_table(history: History, during: list[Request], seconds: float) -> Table:
    columns = ["request", "sent", "rate", "200", "503", "other status", "no response", "503 or no response outside faults", "p50 ms", "p99 ms"]
    table = Table(columns)
    for operation in ("token", "introspect", "revoke"):
        of = [request for request in during if request.operation == operation]
        count = Counter(request.outcome for request in of)
        times = sorted((request.ended - request.began) * 1000 for request in of if request.outcome == "ok")
        outside = sum(request.outcome in ("unavailable", "connection") and not any(
            fault.disturbs(request.began, request.ended) for fault in history.faults) for request in of)
        table.lines.append([
            operation, grouped(len(of)), f"{len(of) / seconds:.1f}/s",
            *(grouped(count[name]) for name in ("ok", "unavailable", "other", "connection")), grouped(outside),
            *(f"{times[int(share * (len(times) - 1))]:.1f}" if times else "" for share in (0.5, 0.99))])
    return table


def faults_table(history: History) -> Table:
    table = Table(["fault", "at", "until ready again"])
    names = {"kill": "SIGKILL of node", "pause": "SIGSTOP of node", "store crash": "Postgres stopped immediately, nodes"}
    for fault in history.faults:
        since = fault.restarted or fault.ended
        if since is None or fault.recovered is None:
            ready = "not ready again"
        else:
            after = "restart" if fault.restarted else "end"
            ready = f"{fault.recovered - since:.2f} s after the {after}, {fault.recovered - fault.began:.2f} s in all"
        table.lines.append([f"{names[fault.kind]} {' and '.join(fault.nodes)}", f"{fault.began - history.began:.1f} s", ready])
    return table


def timeline(history: History, what: str) -> Timeline:
    length = int(history.ended - history.began) + 1
    series = {name: [0] * length for name in ("ok", "unavailable", "failed")}
    for request in history.requests:
        at = int(request.ended - history.began)
        if 0 <= at < length:
            series[request.outcome if request.outcome in series else "failed"][at] += 1
    faults = [(fault.kind, fault.began - history.began, (fault.recovered or history.ended) - history.began) for fault in history.faults]
    return Timeline(what, series["ok"], series["unavailable"], series["failed"], faults)
