"""Changes of clients that are made after the backup, and lost with the database: only the log of the server, kept elsewhere, has them."""

from .server import Server


class Changes:
    """One client per change. `make` makes them by the admin API; `undone` looks for them at the restored server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.rotated = server.register("drill-rotated")
        self.disabled = server.register("drill-disabled")
        self.narrowed = server.register("drill-narrowed", scope="read write")

    def make(self) -> None:
        # What is refused afterwards must have been accepted before.
        for client in (self.rotated, self.disabled, self.narrowed):
            self.server.token(client)
        self.server.token(self.narrowed, scope="write")
        self.server.administer("POST", f"clients/{self.rotated[0]}/rotate-secret", {"overlap_seconds": 0})
        self.server.administer("POST", f"clients/{self.disabled[0]}/disable")
        self.server.administer("PATCH", f"clients/{self.narrowed[0]}", {"scope": "read"})

    def undone(self, restored: Server) -> list[str]:
        problems = []
        for client, scope, what in (
            (self.rotated, None, "a secret that was replaced is valid again"),
            (self.disabled, None, "a client that was disabled gets tokens again"),
            (self.narrowed, "write", "a scope that was removed is granted again"),
        ):
            status, body = restored.request_token(client, scope)
            if status == 200:
                problems.append(what)
            elif status not in (400, 401):
                problems.append(f"the token request of {client[0]} got {status} {body}")
        # Narrow, and not gone.
        restored.token(self.narrowed)
        return problems
