"""Two nodes on one Postgres and one Redis, all of them with passwords, for the check of rotations."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchlib.processes import Processes
from benchlib.stores import BINARIES, Postgres

from .nodes import Load, Node, Redis, Secrets

#: Where the roles, their passwords and their rights come from, as docs/operations/postgres.md says.
ROLES = Path(__file__).resolve().parents[3] / "deploy/postgres"

#: The roles of deploy/postgres need passwords; the superuser is the test's.
HBA = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


class Cluster:
    """Everything that a rotation needs. Use as a context; what was started is stopped at its end."""

    def __init__(self, binary: Path) -> None:
        self.processes = Processes()
        # Postgres runs as another user, who must be able to enter.
        self.temporary = tempfile.TemporaryDirectory(prefix="check-rotation-")
        self.directory = Path(self.temporary.name)
        self.directory.chmod(0o711)
        self.binary = binary

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop_all()
        self.temporary.cleanup()

    def start(self) -> None:
        self.postgres = Postgres(self.processes, self.directory, log_files=5)
        (self.postgres.data / "pg_hba.conf").write_text(HBA)
        self.sql("SELECT pg_reload_conf()")
        self.secrets = Secrets(self.directory / "secrets")
        self.roles = Secrets(self.directory / "roles")
        self.create_roles()
        values = {"database_password": self.roles.read("oauth2_server"), "redis_password": new_password(), "admin_token": new_password(),
                  "key_encryption_key": new_key(), "jwt_secret": new_password()}
        for name, value in values.items():
            self.secrets.write(name, value)
        self.redis = Redis(self.processes, self.directory, values["redis_password"])
        env = {
            "OAUTH2_DATABASE_URL": f"postgres://oauth2_server@127.0.0.1:{self.postgres.port}/oauth2",
            "OAUTH2_REDIS_URL": f"redis://oauth2@127.0.0.1:{self.redis.port}",
            "OAUTH2_ISSUER": "http://127.0.0.1:8080",
            "OAUTH2_SERVER_DRAIN_DELAY": "300ms",
            "OAUTH2_SERVER_WORKERS": "2",
            "OAUTH2_KEYS_JWKS_MAX_AGE": "1",
            "OAUTH2_KEYS_CLOCK_SKEW": "1",
        }
        files = {"DATABASE_PASSWORD": "database_password", "REDIS_PASSWORD": "redis_password", "ADMIN_TOKEN": "admin_token",
                 "KEY_ENCRYPTION_KEY": "key_encryption_key", "JWT_SECRET": "jwt_secret"}
        env |= {f"OAUTH2_{name}_FILE": str(self.secrets.path(file)) for name, file in files.items()}
        self.nodes = [Node(name, self.binary, self.processes, self.directory, dict(env), arguments=("serve", "--no-migrate")) for name in ("a", "b")]
        owner = {"OAUTH2_DATABASE_URL": env["OAUTH2_DATABASE_URL"].replace("oauth2_server@", "oauth2_owner@"),
                 "OAUTH2_DATABASE_PASSWORD_FILE": str(self.roles.path("oauth2_owner"))}
        Node("migrate", self.binary, self.processes, self.directory, env | owner).command("migrate")
        self.superuser("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "oauth2", "-f", str(ROLES / "privileges.sql"))
        for node in self.nodes:
            node.start()
        status, client = self.nodes[0].admin("POST", "clients", {"client_id": "check"}, values["admin_token"])
        if status != 201:
            raise RuntimeError(f"no client: {status} {client}")
        self.client = f"check:{client['client_secret']}"
        wait(lambda: all(node.metric("oauth2_server_bus_up") == 1 for node in self.nodes), "both nodes hear themselves by Redis")

    def sql(self, statement: str) -> str:
        return self.postgres.sql(statement, "postgres")

    def create_roles(self) -> None:
        """Creates the database and the roles, or gives them the passwords that are in the files now."""
        self.superuser(str(ROLES / "create-roles"), str(self.roles.directory))

    def superuser(self, *command: str) -> None:
        env = {"PATH": f"{BINARIES}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port), "PGUSER": "postgres"}
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr).strip()[-300:]}")

    def load(self, client: str | None = None) -> Load:
        return Load(self.nodes, client or self.client)

    def restart_in_turn(self, **env: str | None) -> None:
        """Restarts one node after the other, with changed settings: `None` removes one."""
        for node in self.nodes:
            for name, value in env.items():
                if value is None:
                    node.env.pop(name, None)
                else:
                    node.env[name] = value
            node.restart()

    def backends(self) -> list[str]:
        return self.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'oauth2_server'").split()

    def bus_up(self) -> list[float]:
        return [node.metric("oauth2_server_bus_up") for node in self.nodes]


def new_password() -> str:
    return os.urandom(24).hex()


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def wait(condition: object, what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
