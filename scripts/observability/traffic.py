"""Requests of the kinds that loadtest/ does not send: operators, mistakes of clients, clients that are watched but not limited, and
connections that do not end their requests. Bounded in rate and time, on loopback only."""

import base64
import http.client
import itertools
import json
import socket
import threading
import time
import urllib.parse

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Caller:
    def __init__(self, server):
        self.server = server
        self.connections = {}

    def send(self, base, method, path, body=None, headers=None):
        """Returns status and body; reconnects after an error."""
        address = urllib.parse.urlsplit(base).netloc
        for attempt in (1, 2):
            connection = self.connections.setdefault(address, http.client.HTTPConnection(address, timeout=10))
            try:
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self.connections.pop(address).close()
                if attempt == 2:
                    return 0, b""

    def admin(self, method, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token or self.server.token}", "Content-Type": "application/json"}
        status, answer = self.send(self.server.management, method, f"/admin/v1{path}", None if body is None else json.dumps(body), headers)
        return status, json.loads(answer) if answer[:1] in (b"{", b"[") else None

    def public(self, path, form, client=None, secret=None, headers=None):
        credentials = {}
        if client:
            credentials["Authorization"] = "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()
        body = urllib.parse.urlencode(form)
        return self.send(self.server.url, "POST", path, body, {**FORM, **credentials, **(headers or {})})

    def token(self, client, secret, **form):
        status, answer = self.public("/oauth/token", {"grant_type": "client_credentials", **form}, client, secret)
        return json.loads(answer)["access_token"] if status == 200 else None


def register(caller, prefix):
    """Clients with special settings. Returns their secrets by name."""
    kinds = {
        "plain": {},
        "reused": {"reuse_percent": 80},
        "watched": {
            "rate_limits": {"token": "1/s", "introspection": "1/s", "revocation": "1/s"}, "rate_limit_mode": "observe",
            "quotas": {"hour": 5}, "quota_mode": "observe",
        },
        "limited": {"rate_limits": {"token": "2/s", "introspection": "2/s", "revocation": "2/s"}},
        "metered": {"quotas": {"hour": 20}},
        "shown": {},
    }  # fmt: skip
    secrets = {}
    for kind, options in kinds.items():
        body = {"client_id": f"{prefix}-{kind}", "grant_types": ["client_credentials"], "scope": "read write", **options}
        status, answer = caller.admin("POST", "/clients", body)
        if status != 201:
            raise SystemExit(f"the client {kind} was not registered: {status} {answer}")
        secrets[kind] = answer["client_secret"]
    return secrets


def clients_turn(caller, prefix, secrets):
    for kind in ("plain", "reused", "watched", "limited", "metered"):
        client, secret = f"{prefix}-{kind}", secrets[kind]
        token = caller.token(client, secret)
        if token:
            caller.public("/oauth/introspect", {"token": token}, client, secret)
    client, secret = f"{prefix}-plain", secrets["plain"]
    caller.public("/oauth/revoke", {"token": caller.token(client, secret) or "x"}, client, secret)
    for kind in ("watched", "limited"):
        caller.public("/oauth/revoke", {"token": "unknown"}, f"{prefix}-{kind}", secrets[kind])
    # Mistakes of clients.
    caller.public("/oauth/token", {"grant_type": "password"}, client, secret)
    caller.public("/oauth/token", {"grant_type": "client_credentials", "scope": "other"}, client, secret)
    caller.public("/oauth/token", {"grant_type": "client_credentials", "resource": "https://other.example"}, client, secret)
    caller.public("/oauth/token", {}, client, secret)
    caller.public("/oauth/token", {"grant_type": "client_credentials"}, client, "wrong", {"X-Forwarded-For": "192.0.2.1"})
    caller.send(caller.server.url, "GET", "/oauth/token")
    caller.send(caller.server.url, "GET", "/wp-login.php")
    caller.send(caller.server.url, "GET", "/.well-known/jwks.json")


def operators_turn(caller, prefix, turn):
    shown = f"/clients/{prefix}-shown"
    for path in ("/clients?limit=5", shown, f"{shown}/usage", f"{shown}/tokens", "/clients:top?limit=5", "/keys", "/cutoffs", "/audit?limit=5"):
        caller.admin("GET", path)
    caller.admin("PATCH", shown, {"client_name": f"turn {turn}"})
    caller.admin("POST", f"{shown}/disable")
    caller.admin("POST", f"{shown}/enable")
    caller.admin("POST", "/tokens:issue", {"client_id": f"{prefix}-shown", "count": 5})
    caller.admin("POST", f"{shown}/tokens:revoke-all")
    caller.admin("POST", "/clients", {"client_id": f"{prefix}-shown"})
    caller.admin("GET", "/clients", token="x" * 32)
    caller.send(caller.server.management, "GET", "/admin/v1/clients")
    caller.send(caller.server.management, "GET", "/metrics", headers={"Host": "elsewhere.example"})


def unfinished_request(server):
    """Sends half of a request, which the server gives up at its own time."""
    address = urllib.parse.urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=")
    return connection


def run(server, seconds, prefix="probe"):
    """Sends about forty requests a second for some time."""
    caller = Caller(server)
    secrets = register(caller, prefix)
    limit = time.monotonic() + seconds
    unfinished = [unfinished_request(server)]
    caller.admin("POST", "/keys/rotate", {})
    for turn in itertools.count():
        if time.monotonic() > limit:
            break
        clients_turn(caller, prefix, secrets)
        if turn % 2 == 0:
            operators_turn(caller, prefix, turn)
        time.sleep(0.5)
    for connection in unfinished:
        connection.close()


def start(server, seconds, prefix="probe"):
    thread = threading.Thread(target=run, args=(server, seconds, prefix), daemon=True)
    thread.start()
    return thread
