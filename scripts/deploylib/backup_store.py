"""A real S3 server on loopback (versitygw on a directory), and the clients that deploy/backup can use."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from postgres_report import TOOLS, Failed

from drilllib.scratch import Scratch, free_port, last_lines

BUCKET = "oauth2-backups"


def clients_path() -> str:
    """PATH with the clients that scripts/setup --deploy installs in front."""
    return f"{TOOLS / 'python/bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"


def is_usable(client: str) -> bool:
    """Whether the client starts: one in a Python environment may need an interpreter that this user cannot read."""
    path = shutil.which(client, path=clients_path())
    if path is None:
        return False
    word = "--version" if client == "aws" else "version"
    return subprocess.run([path, word], capture_output=True).returncode == 0


class Store:
    """versitygw: each bucket is a directory, each object a file, so that a check can look at them."""

    def __init__(self, scratch: Scratch) -> None:
        self.program = TOOLS / "bin/versitygw"
        self.objects = scratch.directory("s3") / BUCKET
        self.port = free_port()
        self.scratch, self.process = scratch, None
        self.key, self.secret = "drill", secrets.token_hex(16)

    def is_installed(self) -> bool:
        return self.program.exists()

    def start(self) -> None:
        scratch = self.scratch
        scratch.directory(f"s3/{BUCKET}")
        environment = {"ROOT_ACCESS_KEY": self.key, "ROOT_SECRET_KEY": self.secret}
        log = scratch.path / "versitygw.log"
        # Without extended attributes: a temporary directory may be on a file system without them.
        words = ["--port", f"127.0.0.1:{self.port}", "posix", "--nometa", scratch.path / "s3"]
        self.process = scratch.start([self.program, *words], log, environment)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise Failed(f"versitygw does not listen: {last_lines(log.read_text())}")

    def settings(self, client: str) -> dict:
        return {
            "BACKUP_S3_CLIENT": client,
            "BACKUP_S3_URL": f"s3://{BUCKET}/{client}",
            "BACKUP_S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def names(self, client: str) -> set[str]:
        folder: Path = self.objects / client
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def stop(self) -> None:
        if self.process is not None:
            self.scratch.end(self.process)
