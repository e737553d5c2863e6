"""A model of the closed loop: clients that ask again once answered, workers, recorders that commit what waits, Postgres.

Everybody is a thread that does one thing after the other; threads share the cores, a turn each. A recorder has one commit on its
way at a time and takes all that waits when it has ended. Nothing in it knows a rate: rates come out."""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Then = Callable[[], None]


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    #: Of a core of the load generator: an answer read, the next request sent.
    generator: float
    #: Of a core of the server: from a request to its record, and from the commit to the answer.
    request: float
    answer: float
    #: Of a core of the server: for a commit, however many are in it.
    group: float
    #: Of a core of Postgres: for a commit, and for each row in it.
    commit: float
    row: float
    #: That a commit takes beyond that: the sync of the disk, the way there and back. No core is busy.
    sync: float


@dataclass(frozen=True)
class Outcome:
    #: Tokens a second.
    rate: float
    #: Tokens in a commit.
    batch: float
    #: Seconds, from a request to its answer.
    p50: float


@dataclass(eq=False)
class Thread:
    jobs: deque[tuple[float, Then]] = field(default_factory=deque)
    #: Waits for a core or has one.
    active: bool = False


@dataclass(eq=False)
class Recorder:
    worker: Thread = field(default_factory=Thread)
    backend: Thread = field(default_factory=Thread)
    #: When each of those that wait was asked for.
    waiting: list[float] = field(default_factory=list)
    busy: bool = False


class Simulation:
    def __init__(self, costs: Costs, clients: int, workers: int, cores: int) -> None:
        self.costs, self.free = costs, cores
        self.now, self.order = 0.0, 0
        self.events: list[tuple[float, int, Then]] = []
        self.ready: deque[Thread] = deque()
        self.generator = Thread()
        self.recorders = [Recorder() for _ in range(workers)]
        self.batches: list[int] = []
        self.times: list[float] = []
        for client in range(clients):
            self.ask(self.recorders[client % workers])

    def run(self, tokens: int) -> Outcome:
        """The last three quarters of so many tokens."""
        while len(self.times) < tokens // 4:
            self.step()
        began, skipped, commits = self.now, len(self.times), len(self.batches)
        while len(self.times) < tokens:
            self.step()
        return Outcome((len(self.times) - skipped) / (self.now - began), statistics.fmean(self.batches[commits:]),
                       statistics.median(self.times[skipped:]))

    def step(self) -> None:
        self.now, _, then = heapq.heappop(self.events)
        then()

    def after(self, seconds: float, then: Then) -> None:
        self.order += 1
        heapq.heappush(self.events, (self.now + seconds, self.order, then))

    def work(self, thread: Thread, seconds: float, then: Then) -> None:
        thread.jobs.append((seconds, then))
        if not thread.active:
            thread.active = True
            self.ready.append(thread)
        self.dispatch()

    def dispatch(self) -> None:
        while self.free and self.ready:
            thread = self.ready.popleft()
            seconds, then = thread.jobs.popleft()
            self.free -= 1
            self.after(seconds, lambda thread=thread, then=then: self.done(thread, then))  # type: ignore[misc]

    def done(self, thread: Thread, then: Then) -> None:
        self.free += 1
        if thread.jobs:
            self.ready.append(thread)
        else:
            thread.active = False
        then()
        self.dispatch()

    # The life of a token

    def ask(self, recorder: Recorder) -> None:
        def sent() -> None:
            asked = self.now
            self.work(recorder.worker, self.costs.request, lambda: self.record(recorder, asked))

        self.work(self.generator, self.costs.generator, sent)

    def record(self, recorder: Recorder, asked: float) -> None:
        recorder.waiting.append(asked)
        if not recorder.busy:
            recorder.busy = True
            # Behind the requests that the worker has read already.
            self.work(recorder.worker, self.costs.group, lambda: self.commit(recorder))

    def commit(self, recorder: Recorder) -> None:
        batch, recorder.waiting = recorder.waiting, []
        self.batches.append(len(batch))
        self.work(recorder.backend, self.costs.commit + self.costs.row * len(batch),
                  lambda: self.after(self.costs.sync, lambda: self.committed(recorder, batch)))

    def committed(self, recorder: Recorder, batch: list[float]) -> None:
        if recorder.waiting:
            self.work(recorder.worker, self.costs.group, lambda: self.commit(recorder))
        else:
            recorder.busy = False
        for asked in batch:
            self.work(recorder.worker, self.costs.answer, lambda asked=asked: self.answered(recorder, asked))  # type: ignore[misc]

    def answered(self, recorder: Recorder, asked: float) -> None:
        self.times.append(self.now - asked)
        self.ask(recorder)


def simulate(costs: Costs, clients: int, workers: int = 1, cores: int = 2, tokens: int = 20_000) -> Outcome:
    return Simulation(costs, clients, workers, cores).run(tokens)


def per_commit_and_row(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """From two pairs of tokens in a commit and Postgres' seconds for a token: seconds for a commit, and for a row."""
    (few, dear), (many, cheap) = one, other
    commit = (dear - cheap) / (1 / few - 1 / many)
    return commit, cheap - commit / many


@dataclass(frozen=True)
class Plan:
    """What a rate needs when tokens are asked for evenly and no core is short."""

    recorders: int
    #: Tokens in a commit.
    batch: float
    #: A second.
    commits: float
    #: Cores kept busy by the INSERT.
    postgres: float


def arriving(costs: Costs, rate: float, largest: int = 1024) -> float:
    """Tokens in a commit of a recorder that is asked so often: those that arrive while the one before is on its way."""
    spare = 1 - rate * costs.row
    return max(1.0, min(largest, rate * (costs.commit + costs.sync) / spare)) if spare > 0 else largest


def busy(costs: Costs, rate: float) -> float:
    """Share of a core that a worker uses which is asked so often."""
    return rate * (costs.request + costs.answer + costs.group / arriving(costs, rate))


def plan(costs: Costs, rate: float, planned: float) -> Plan:
    """With as few workers, a recorder each, as are not busier than planned."""
    recorders = 1
    while busy(costs, rate / recorders) > planned:
        recorders += 1
    batch = arriving(costs, rate / recorders)
    return Plan(recorders, batch, rate / batch, rate * (costs.row + costs.commit / batch))
