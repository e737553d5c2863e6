"""A proxy that removes Retry-After and the RateLimit fields from 429 responses of the server at the address in its argument.
Prints its port and runs until its standard input closes."""

from __future__ import annotations

import http.client
import sys

from http_fixture import QuietHandler, serve

STRIPPED = {"retry-after", "ratelimit", "ratelimit-policy"}
#: Headers of a single connection, and headers that this server sets itself.
NOT_FORWARDED = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class HeaderStrippingProxy(QuietHandler):
    authority = ""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection(self.authority, timeout=10)
        server.request(self.command, self.path, body, dict(self.headers))
        response = server.getresponse()
        content = response.read()
        server.close()
        removed = NOT_FORWARDED | (STRIPPED if response.status == 429 else set())
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in removed:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = forward


def main() -> None:
    HeaderStrippingProxy.authority = sys.argv[1]
    serve(HeaderStrippingProxy)


if __name__ == "__main__":
    main()
