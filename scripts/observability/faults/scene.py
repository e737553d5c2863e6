"""One fault: a server of its own under load, a Prometheus of its own with the shortened rules, and what fires in each phase."""

import base64
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import traffic
from stack import ROOT, Prometheus, Stack, end, free_ports, get, is_up, server_binary

# The rules of alerts/, with windows of at most 20 s. Two kinds of thresholds differ: those on intervals of the server that a test cannot
# shorten, and those on latency, because the machine does other work at the same time.
CONFIG = """{
  timeScale: 60, longestWindow: 20, shortestWindow: 4,
  thresholds+: { pageErrors: 3, keyOverdueSeconds: 5, maintenanceAgeSeconds: 300, commitSeconds: 0.4, mailboxDepth: 200 },
  objectives+: { [name]+: { latency: { ratio: 0.9, seconds: '0.5' } } for name in ['token', 'introspection', 'revocation'] },
}"""
BASELINE_SECONDS = 12
HOLD_SECONDS = 6


def render_rules(path, change=""):
    """Writes the shortened rules; `change` is Jsonnet that is added to the mixin."""
    code = f"""
        local mixin = (import 'alerts/mixin.libsonnet') + {{ _config+:: {CONFIG} }} {change};
        std.manifestYamlDoc({{ groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups }})
    """
    done = subprocess.run(["jsonnet", "-S", "-e", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    Path(path).write_text(done.stdout)


class Node:
    """A server that can be stopped and started again, with the same ports, configuration and data."""

    def __init__(self, stack, name, environment, prefix):
        public, management = free_ports(2)
        self.stack, self.name, self.prefix = stack, name, prefix
        self.url, self.management = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{management}"
        self.target = f"127.0.0.1:{management}"
        self.token = "an-admin-token-for-this-run-" + os.urandom(8).hex()
        self.directory = stack.directory / name
        self.environment = {
            "PATH": os.environ["PATH"],
            "OAUTH2_SERVER_PORT": str(public),
            "OAUTH2_MANAGEMENT_PORT": str(management),
            "OAUTH2_SERVER_WORKERS": "2",
            "OAUTH2_SERVER_DRAIN_DELAY": "0",
            "OAUTH2_ADMIN_TOKEN": self.token,
            "OAUTH2_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
            "OAUTH2_LOG_FORMAT": "json",
            **environment,
        }
        self.process = None

    def start(self, wait=True, environment=None):
        command = [*self.prefix, server_binary()]
        self.process = self.stack.start(self.name, command, {**self.environment, **(environment or {})})
        if wait:
            self.stack.wait_for(self.name, self.process, lambda: is_up(f"{self.management}/ready"))

    def stop(self):
        end(self.process)

    def metric(self, name):
        """The values of a metric, by the text of its labels."""
        found = {}
        for line in get(f"{self.management}/metrics", timeout=3).decode().splitlines():
            if line.startswith(f"oauth2_server_{name}") and line[len("oauth2_server_" + name)] in "{ ":
                series, value = line.rsplit(" ", 1)
                found[series.partition("{")[2].rstrip("}")] = float(value)
        return found

    def run(self, *arguments):
        """A subcommand with the configuration of the server."""
        return subprocess.run(
            [server_binary(), *arguments], cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )  # fmt: skip


class Load:
    """Tokens, introspections and revocations at a steady rate, until it is stopped or paused."""

    def __init__(self, node, client, secret, threads=4, pause=0.3, revoke_every=2):
        self.node, self.client, self.secret, self.pause, self.revoke_every = node, client, secret, pause, revoke_every
        self.is_running, self.is_paused = True, False
        self.statuses = {}
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self):
        caller, token, turn = traffic.Caller(self.node), "unknown", 0
        while self.is_running:
            began = time.monotonic()
            turn += 1
            if not self.is_paused:
                status, answer = caller.public("/oauth/token", {"grant_type": "client_credentials"}, self.client, self.secret)
                self.count("token", status)
                token = json.loads(answer)["access_token"] if status == 200 else token
                self.count("introspect", caller.public("/oauth/introspect", {"token": token}, self.client, self.secret)[0])
                if turn % self.revoke_every == 0:
                    self.count("revoke", caller.public("/oauth/revoke", {"token": token}, self.client, self.secret)[0])
            time.sleep(max(0.0, self.pause - (time.monotonic() - began)))

    def count(self, what, status):
        self.statuses[what, status] = self.statuses.get((what, status), 0) + 1

    def stop(self):
        self.is_running = False
        for thread in self.threads:
            thread.join(15)


class Scene:
    """What a fault is caused on."""

    def __init__(self, stack, rules):
        self.stack, self.rules = stack, rules
        self.node = self.load = self.prometheus = None
        self.client = self.secret = None

    def serve(self, environment=None, prefix=(), load=True, before=None, **load_options):
        """A server in its own directory, a client of it, its load, and its Prometheus."""
        self.node = Node(self.stack, "server", environment or {}, prefix)
        if before:
            before(self.node)
        self.node.start()
        self.client, self.secret = self.register("load")
        if load:
            self.start_load(**load_options)
        self.prometheus = Prometheus(self.stack, {"a": self.node.target}, [self.rules])

    def start_load(self, **options):
        self.load = Load(self.node, self.client, self.secret, **options)
        self.stack.callback(self.load.stop)

    def register(self, client, **metadata):
        body = {"client_id": client, "grant_types": ["client_credentials"], "scope": "read", **metadata}
        status, answer = traffic.Caller(self.node).admin("POST", "/clients", body)
        if status != 201:
            raise RuntimeError(f"the client {client} was not registered: {status} {answer}")
        return client, answer["client_secret"]

    def flood(self, send, per_second):
        """Calls `send(caller)` at a rate until the returned function is called."""
        stopped = threading.Event()

        def run():
            caller = traffic.Caller(self.node)
            while not stopped.is_set():
                send(caller)
                stopped.wait(2 / per_second)

        for _ in range(2):
            threading.Thread(target=run, daemon=True).start()
        self.stack.callback(stopped.set)
        return stopped.set

    def alerts(self):
        """The names of alerts that fire now."""
        found = self.prometheus.call("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"} - {"Watchdog"}

    def fired(self, start, stop):
        """The names of alerts that fired at any second between two times, and when first."""
        series = self.prometheus.range('ALERTS{alertstate="firing", alertname!="Watchdog"}', start, stop, 1)
        first = {}
        for one in series:
            name, at = one["metric"]["alertname"], float(one["values"][0][0])
            first[name] = min(at, first.get(name, at))
        return first

    def wait(self, condition, seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if condition():
                return True
            time.sleep(0.5)
        return False


def play(fault, rules):
    """Causes a fault; returns what fired when, and what is wrong with that."""
    # In memory where that is possible: what is measured is not this machine's disk.
    memory = os.environ.get("FAULTS_DIRECTORY") or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="oauth2-fault-", dir=memory) as directory, Stack(directory) as stack:
        os.chmod(directory, 0o755)
        scene = Scene(stack, rules)
        steps = fault.steps(scene)
        problems = []
        next(steps)
        time.sleep(fault.baseline)
        if not scene.wait(lambda: not scene.alerts(), 30):
            problems.append(f"before the fault: {', '.join(sorted(scene.alerts()))}")
        caused = time.time()
        before = scene.fired(caused - 5, caused)
        next(steps)
        scene.wait(lambda: fault.expected <= scene.fired(caused, time.time()).keys(), fault.patience)
        time.sleep(HOLD_SECONDS)
        ended = time.time()
        for _ in steps:
            raise RuntimeError("a fault has two phases")
        resolved = scene.wait(lambda: not scene.alerts(), fault.recovery)
        stopped = time.time()
        if not resolved:
            problems.append(f"does not resolve: {', '.join(sorted(scene.alerts()))}")
        first = {name: at for name, at in scene.fired(caused, stopped).items() if name not in before}
        missing, others = fault.expected - first.keys(), first.keys() - fault.expected - fault.companions
        if missing:
            problems.append(f"does not fire: {', '.join(sorted(missing))}")
        if others:
            problems.append(f"fires without reason: {', '.join(sorted(others))}")
        if problems and scene.load:
            problems.append(f"requests: {dict(sorted(scene.load.statuses.items()))}")
        if problems:
            log = (stack.directory / "server.log").read_text(errors="replace").splitlines()
            problems.append("the log ends with:\n    " + "\n    ".join(line[:300] for line in log[-6:]))
        return {
            "fired": {name: round(at - caused) for name, at in first.items()},
            "resolved": round(stopped - ended) if resolved else None,
            "problems": problems,
        }
