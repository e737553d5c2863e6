"""Single requests, for everything that is not load. No proxy, no redirect is followed."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from .adapter import Client, Endpoint, Step
from .errors import CannotMeasure, Wrong
from .values import Values

TIMEOUT = 20
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


def split(url: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Wrong(f"{what} is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise Wrong(f"{what} must be an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise Wrong(f"{what} must not hold a user or a password")
    return parts


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(url: str) -> bool:
    """Whether every address of its host is on this machine's loopback."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, port(url), type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def text(self) -> str:
        return self.body.decode(errors="replace")


def request(method: str, url: str, headers: dict[str, str], body: str | None = None) -> Answer:
    kind = http.client.HTTPSConnection if urlsplit(url).scheme == "https" else http.client.HTTPConnection
    connection = kind(urlsplit(url).hostname or "", port(url), timeout=TIMEOUT)
    try:
        connection.request(method, path(url), body, {"Accept": "application/json", **headers})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise CannotMeasure(f"{origin(url)} does not answer: {error or type(error).__name__}") from None
    finally:
        connection.close()


def basic(client: Client) -> str:
    """Form-encoded before it is joined (RFC 6749 section 2.3.1)."""
    joined = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
    return "Basic " + base64.b64encode(joined.encode()).decode()


def form_of(endpoint: Endpoint, client: Client, parameters: dict[str, str]) -> str:
    """The whole form of a request, with the credentials where they go there."""
    proof = {"client_id": client.id, "client_secret": client.secret} if endpoint.auth == "post" else {}
    return urlencode(parameters | endpoint.form | proof)


def authorization(endpoint: Endpoint, client: Client) -> str:
    return basic(client) if endpoint.auth == "basic" else ""


def ask(endpoint: Endpoint, client: Client, parameters: dict[str, str]) -> Answer:
    proof = authorization(endpoint, client)
    headers = {"Content-Type": FORM} | ({"Authorization": proof} if proof else {})
    return request("POST", endpoint.url, headers, form_of(endpoint, client, parameters))


def field(document: Any, where: str) -> Any:
    """`a.b` is b within a; None where there is none."""
    for key in where.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def take_step(step: Step, values: Values) -> None:
    """One request to the peer's own API; what it brings is known afterwards, and kept secret."""
    headers: dict[str, str] = values.fill(step.headers)
    body = None
    if step.json is not None:
        body, headers = json.dumps(values.fill(step.json)), {"Content-Type": "application/json"} | headers
    elif step.form is not None:
        body, headers = urlencode(values.fill(step.form)), {"Content-Type": FORM} | headers
    answer = request(step.method, values.text(step.url), headers, body)
    if answer.status not in step.expect:
        said = values.hide(answer.text())
        raise CannotMeasure(f"{step.about}: {step.method} {path(step.url)} answers {answer.status}"
                            + (f": {said}" if said else ""))
    document = answer.json()
    for name, where in step.take.items():
        found = field(document, where)
        if not isinstance(found, (str, int)) or isinstance(found, bool):
            raise CannotMeasure(f"{step.about}: the answer holds no {where}")
        values.put(name, str(found), True)
