"""A private Postgres that can be stopped and started again."""

import glob
import os
import pwd
import subprocess

from stack import end, free_ports


class Database:
    def __init__(self, stack, environment=None):
        self.binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1]
        self.stack, self.directory = stack, stack.directory / "postgres"
        self.environment = {**os.environ, **(environment or {})}
        self.directory.mkdir()
        self.user = {}
        if os.geteuid() == 0:
            # initdb does not run as root.
            account = pwd.getpwnam("postgres")
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        (self.port,) = free_ports(1)
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        command = ["initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D", self.directory / "data"]
        self.run(*command, stdout=subprocess.DEVNULL)
        self.start()

    def run(self, program, *arguments, check=True, **options):
        command = [f"{self.binaries}/{program}", *map(str, arguments)]
        return subprocess.run(command, cwd=self.directory, check=check, **self.user, **options)

    def start(self):
        command = [
            f"{self.binaries}/postgres", "-D", self.directory / "data", "-p", self.port, "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.directory}", "-c", "max_connections=60", "-c", "fsync=off", "-c", "shared_buffers=16MB",
        ]  # fmt: skip
        self.process = self.stack.start("postgres", command, environment=self.environment, directory=self.directory, user=self.user)
        # Before the SIGTERM of the stack, which would wait for the connections of servers that still run.
        self.stack.callback(self.stop)
        probe = ["-q", "-h", "127.0.0.1", "-p", self.port]
        self.stack.wait_for("postgres", self.process, lambda: self.run("pg_isready", *probe, check=False).returncode == 0)

    def stop(self):
        # A fast shutdown: SIGTERM would wait for the connections of the server to end.
        self.process.send_signal(2)
        self.process.wait(20)
        end(self.process)

    def sql(self, *statements):
        arguments = [part for statement in statements for part in ("-c", statement)]
        done = self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, *arguments, capture_output=True, text=True)
        return done.stdout.split("\n")[:-1]

    def hold(self, statement):
        """A session that runs a statement in a transaction, and keeps it open until the returned process is ended."""
        command = [f"{self.binaries}/psql", "-X", "-q", self.url]
        session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.directory, **self.user)
        session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
        session.stdin.flush()
        while "held" not in (line := session.stdout.readline()):
            if not line:
                raise RuntimeError(f"the session ended: {statement}")
        self.stack.callback(end, session)
        return session
