"""A proxy before a server that leaves out of its refusals when to ask again and where the client stands. Serves until its
standard input closes; prints its port."""

from __future__ import annotations

import http.client
import sys

from serving import Silent, serve

LEFT_OUT = {"retry-after", "ratelimit", "ratelimit-policy"}
#: What belongs to one connection, or is written anew.
OWN = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Mute(Silent):
    authority = ""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection(self.authority, timeout=10)
        server.request(self.command, self.path, body, dict(self.headers))
        answer = server.getresponse()
        content = answer.read()
        server.close()
        hidden = OWN | (LEFT_OUT if answer.status == 429 else set())
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in hidden:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = forward


def main() -> None:
    Mute.authority = sys.argv[1]
    serve(Mute)


if __name__ == "__main__":
    main()
