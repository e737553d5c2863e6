"""Clients as a Terraform provider for REST handles resources: configuration, state, refresh, plan, apply, import; by HTTP only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from .cluster import Cluster

Body = dict[str, Any]
#: Members that the server computes. A provider shows them and never sends them.
COMPUTED = {"client_id", "created_at", "previous_secrets", "client_secret", "notice"}
#: Values of members whose default applies.
EMPTY: tuple[object, ...] = (None, "", {}, [], False)


@dataclass
class Answer:
    status: int
    tag: str
    body: Body


def ask(cluster: Cluster, node: int, method: str, path: str, body: Body | None = None, **conditions: str) -> Answer:
    """A request to the admin API of a node. `if_match` and `if_none_match` become headers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{cluster.nodes[node].management}/admin/v1{path}", data, method=method)
    request.add_header("Authorization", f"Bearer {cluster.admin_token}")
    for name, value in conditions.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.headers.get("ETag", ""), json.loads(response.read() or b"{}"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, "", json.loads(error.read() or b"{}"))


class Rejected(Exception):
    """The server rejected a step of an apply."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body}")
        self.answer = answer


@dataclass
class Provider:
    cluster: Cluster
    node: int
    #: By id: the ETag and the body of the latest response.
    state: dict[str, tuple[str, Body]] = field(default_factory=dict)

    def ask(self, method: str, identifier: str, body: Body | None = None, **conditions: str) -> Answer:
        return ask(self.cluster, self.node, method, f"/clients/{identifier}", body, **conditions)

    def read(self, identifier: str) -> None:
        """Refreshes one resource; it leaves the state if it is gone. An import is the first read."""
        answer = self.ask("GET", identifier)
        if answer.status == 404:
            self.state.pop(identifier, None)
        elif answer.status != 200:
            raise Rejected(answer)
        else:
            self.state[identifier] = (answer.tag, answer.body)

    def plan(self, wanted: dict[str, Body]) -> dict[str, str]:
        """What an apply would do, by id. A member that is not in the configuration must have its default."""
        for identifier in list(self.state):
            self.read(identifier)
        actions = {}
        for identifier, body in wanted.items():
            if identifier not in self.state:
                actions[identifier] = "create"
                continue
            known = {name: value for name, value in self.state[identifier][1].items() if name not in COMPUTED}
            differing = [name for name, value in known.items() if (value != body[name] if name in body else value not in EMPTY)]
            if differing:
                actions[identifier] = f"update {' '.join(sorted(differing))}"
        return actions | {identifier: "delete" for identifier in self.state.keys() - wanted.keys()}

    def apply(self, wanted: dict[str, Body], refresh: bool = True) -> dict[str, str]:
        """Carries a plan out. `refresh`: False for a plan that was made before and is old now."""
        tags = {identifier: tag for identifier, (tag, _) in self.state.items()}
        actions = self.plan(wanted)
        for identifier, action in actions.items():
            tag = self.state[identifier][0] if refresh and identifier in self.state else tags.get(identifier, "")
            if action == "create":
                answer = self.ask("PUT", identifier, wanted[identifier], if_none_match="*")
            elif action == "delete":
                answer = self.ask("DELETE", identifier, if_match=tag)
            else:
                answer = self.ask("PUT", identifier, wanted[identifier], if_match=tag)
            if answer.status not in (200, 201, 204):
                raise Rejected(answer)
            self.read(identifier)
        return actions
