"""Single HTTP requests outside of the load. Proxies are not used and redirects are not followed."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from benchlib.http_client import basic_authorization

from .adapter import Client, Endpoint, Step
from .errors import MeasurementError, UsageError
from .values import Values

TIMEOUT = 20
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


def parse_url(url: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError(f"{what} is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise UsageError(f"{what} must be an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{what} must not contain a user or a password")
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
    """Whether every address of the host is a loopback address."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, port(url), type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


@dataclass
class Response:
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


def request(method: str, url: str, headers: dict[str, str], body: str | None = None) -> Response:
    connection_type = http.client.HTTPSConnection if urlsplit(url).scheme == "https" else http.client.HTTPConnection
    connection = connection_type(urlsplit(url).hostname or "", port(url), timeout=TIMEOUT)
    try:
        connection.request(method, path(url), body, {"Accept": "application/json", **headers})
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise MeasurementError(f"{origin(url)} does not respond: {error or type(error).__name__}") from None
    finally:
        connection.close()


def form_of(endpoint: Endpoint, client: Client, parameters: dict[str, str]) -> str:
    """The form of a request, including the credentials if the endpoint expects them there."""
    credentials = {"client_id": client.id, "client_secret": client.secret} if endpoint.auth == "post" else {}
    return urlencode(parameters | endpoint.form | credentials)


def authorization(endpoint: Endpoint, client: Client) -> str:
    """The Authorization header of a request; empty if the endpoint does not expect one."""
    return basic_authorization(client.id, client.secret) if endpoint.auth == "basic" else ""


def post_form(endpoint: Endpoint, client: Client, parameters: dict[str, str]) -> Response:
    header = authorization(endpoint, client)
    headers = {"Content-Type": FORM} | ({"Authorization": header} if header else {})
    return request("POST", endpoint.url, headers, form_of(endpoint, client, parameters))


def json_field(document: Any, path: str) -> Any:
    """The field at a path, where `a.b` is b within a; None if it does not exist."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def run_step(step: Step, values: Values) -> None:
    """Sends a request to the peer's own API and adds the captured values, which are treated as secrets."""
    headers: dict[str, str] = values.expand(step.headers)
    body = None
    if step.json is not None:
        body, headers = json.dumps(values.expand(step.json)), {"Content-Type": "application/json"} | headers
    elif step.form is not None:
        body, headers = urlencode(values.expand(step.form)), {"Content-Type": FORM} | headers
    response = request(step.method, values.text(step.url), headers, body)
    if response.status not in step.expect:
        text = values.redact(response.text())
        raise MeasurementError(f"{step.about}: {step.method} {path(step.url)} returned {response.status}"
                               + (f": {text}" if text else ""))
    document = response.json()
    for name, field_path in step.capture.items():
        found = json_field(document, field_path)
        if not isinstance(found, (str, int)) or isinstance(found, bool):
            raise MeasurementError(f"{step.about}: the response has no field {field_path}")
        values.put(name, str(found), True)
