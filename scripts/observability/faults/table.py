"""The table of faults. A fault is a generator: it sets the scene, yields, causes the fault, yields, and ends it."""

from dataclasses import dataclass, field
from typing import Callable

from scene import BASELINE_SECONDS

FAULTS = {}

# What a service without its store answers.
ERRORS = {"HighErrorRate", "ErrorBudgetBurn"}
NOT_READY = {"OAuth2NotReady", "OAuth2NoInstanceReady"}
# What a restart of the only server may cause, depending on how long it takes.
RESTART = ERRORS | {"OAuth2TargetDown", "OAuth2TargetAbsent", "OAuth2Shedding"}


@dataclass
class Fault:
    name: str
    title: str
    steps: Callable
    expected: set
    companions: set = field(default_factory=set)
    baseline: float = BASELINE_SECONDS
    patience: float = 60
    recovery: float = 90
    weight: int = 1


def fault(title, expected, companions=(), **options):
    """Adds a generator to the table. `companions` may fire besides `expected`, depending on the moment."""

    def add(steps):
        name = steps.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, title, steps, set(expected), set(companions), **options)
        return steps

    return add
