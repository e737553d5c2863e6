"""Single HTTP requests to a server on loopback, and Basic authentication."""

from __future__ import annotations

import base64
import http.client
from urllib.parse import quote


def basic_authorization(client_id: str, secret: str) -> str:
    """The value of an Authorization header. Id and secret are form-encoded before they are joined (RFC 6749 section 2.3.1)."""
    joined = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(joined.encode()).decode()


def post(port: int, path: str, authorization: str, body: str) -> tuple[int, bytes]:
    """Posts a form; returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def get(port: int, path: str) -> tuple[int, str] | None:
    """Status and body; `None` if nothing listens on the port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return None
    finally:
        connection.close()
