"""A simulation of the closed loop: clients that send the next request when the previous one is answered, workers, token
stores that commit waiting tokens as a group, and Postgres.

Every thread executes one job at a time; threads share the cores in round-robin order. A token store has one commit in flight and
takes all waiting tokens when it ends. The model has no rate as input: rates are its result."""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Callback = Callable[[], None]


@dataclass(frozen=True)
class Costs:
    """CPU and waiting times, in seconds."""

    #: Load generator, per request: reads a response and sends the next request.
    generator: float
    #: Server, per token: from the request to the record, and from the commit to the response.
    request: float
    response: float
    #: Server, per commit of any size.
    group: float
    #: Postgres, per commit, and per row of it.
    commit: float
    row: float
    #: The rest of a commit's duration, during which no core is busy: the disk's sync and the network round trip.
    sync: float


@dataclass(frozen=True)
class Outcome:
    #: Tokens per second.
    rate: float
    #: Tokens per commit.
    batch: float
    #: Median latency, seconds.
    p50: float


@dataclass(eq=False)
class Thread:
    jobs: deque[tuple[float, Callback]] = field(default_factory=deque)
    #: Has a core or waits for one.
    active: bool = False


@dataclass(eq=False)
class TokenStore:
    worker: Thread = field(default_factory=Thread)
    backend: Thread = field(default_factory=Thread)
    #: The send times of the requests whose tokens wait for a commit.
    waiting: list[float] = field(default_factory=list)
    busy: bool = False


class Simulation:
    def __init__(self, costs: Costs, clients: int, workers: int, cores: int) -> None:
        self.costs, self.free = costs, cores
        self.now, self.order = 0.0, 0
        self.events: list[tuple[float, int, Callback]] = []
        self.ready: deque[Thread] = deque()
        self.generator = Thread()
        self.token_stores = [TokenStore() for _ in range(workers)]
        self.batches: list[int] = []
        self.times: list[float] = []
        for client in range(clients):
            self.send_request(self.token_stores[client % workers])

    def run(self, tokens: int) -> Outcome:
        """Simulates `tokens` tokens; the first quarter is warm-up."""
        while len(self.times) < tokens // 4:
            self.step()
        began, skipped, commits = self.now, len(self.times), len(self.batches)
        while len(self.times) < tokens:
            self.step()
        return Outcome((len(self.times) - skipped) / (self.now - began), statistics.fmean(self.batches[commits:]),
                       statistics.median(self.times[skipped:]))

    def step(self) -> None:
        self.now, _, callback = heapq.heappop(self.events)
        callback()

    def schedule(self, seconds: float, callback: Callback) -> None:
        self.order += 1
        heapq.heappush(self.events, (self.now + seconds, self.order, callback))

    def add_job(self, thread: Thread, seconds: float, callback: Callback) -> None:
        thread.jobs.append((seconds, callback))
        if not thread.active:
            thread.active = True
            self.ready.append(thread)
        self.dispatch()

    def dispatch(self) -> None:
        while self.free and self.ready:
            thread = self.ready.popleft()
            seconds, callback = thread.jobs.popleft()
            self.free -= 1
            self.schedule(seconds, lambda thread=thread, callback=callback: self.job_done(thread, callback))  # type: ignore[misc]

    def job_done(self, thread: Thread, callback: Callback) -> None:
        self.free += 1
        if thread.jobs:
            self.ready.append(thread)
        else:
            thread.active = False
        callback()
        self.dispatch()

    # The stages of a token request

    def send_request(self, token_store: TokenStore) -> None:
        def sent() -> None:
            sent_at = self.now
            self.add_job(token_store.worker, self.costs.request, lambda: self.record(token_store, sent_at))

        self.add_job(self.generator, self.costs.generator, sent)

    def record(self, token_store: TokenStore, sent_at: float) -> None:
        token_store.waiting.append(sent_at)
        if not token_store.busy:
            token_store.busy = True
            # Queued behind the requests that the worker has already read.
            self.add_job(token_store.worker, self.costs.group, lambda: self.commit(token_store))

    def commit(self, token_store: TokenStore) -> None:
        batch, token_store.waiting = token_store.waiting, []
        self.batches.append(len(batch))
        self.add_job(token_store.backend, self.costs.commit + self.costs.row * len(batch),
                     lambda: self.schedule(self.costs.sync, lambda: self.committed(token_store, batch)))

    def committed(self, token_store: TokenStore, batch: list[float]) -> None:
        if token_store.waiting:
            self.add_job(token_store.worker, self.costs.group, lambda: self.commit(token_store))
        else:
            token_store.busy = False
        for sent_at in batch:
            self.add_job(token_store.worker, self.costs.response, lambda sent_at=sent_at: self.answered(token_store, sent_at))  # type: ignore[misc]

    def answered(self, token_store: TokenStore, sent_at: float) -> None:
        self.times.append(self.now - sent_at)
        self.send_request(token_store)


def simulate(costs: Costs, clients: int, workers: int = 1, cores: int = 2, tokens: int = 20_000) -> Outcome:
    return Simulation(costs, clients, workers, cores).run(tokens)


def per_commit_and_row(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Solves for the cost per commit and the cost per row, given two pairs of tokens per commit and cost per token."""
    (few, expensive), (many, cheap) = one, other
    commit = (expensive - cheap) / (1 / few - 1 / many)
    return commit, cheap - commit / many


@dataclass(frozen=True)
class Plan:
    """The resources for a rate of evenly spaced requests with spare CPU capacity."""

    token_stores: int
    #: Tokens per commit.
    batch: float
    #: Commits per second.
    commits: float
    #: Cores used by the INSERT.
    postgres: float


def batch_size(costs: Costs, rate: float, largest: int = 1024) -> float:
    """Tokens per commit of a token store with evenly spaced requests. A commit takes the requests that arrived during the previous one."""
    spare = 1 - rate * costs.row
    return max(1.0, min(largest, rate * (costs.commit + costs.sync) / spare)) if spare > 0 else largest


def worker_load(costs: Costs, rate: float) -> float:
    """The share of a core that a worker uses at a rate."""
    return rate * (costs.request + costs.response + costs.group / batch_size(costs, rate))


def plan(costs: Costs, rate: float, target_load: float) -> Plan:
    """With the fewest workers, a token store each, whose load is at most `target_load`."""
    token_stores = 1
    while worker_load(costs, rate / token_stores) > target_load:
        token_stores += 1
    batch = batch_size(costs, rate / token_stores)
    return Plan(token_stores, batch, rate / batch, rate * (costs.row + costs.commit / batch))
