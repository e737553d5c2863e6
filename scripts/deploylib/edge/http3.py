"""One token over HTTP/3, by aioquic. Runs in the Python environment that has it: http3.py PORT CERTIFICATE CLIENT SECRET"""

from __future__ import annotations

import asyncio
import base64
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

BODY = b"grant_type=client_credentials"


class Client(QuicConnectionProtocol):
    """Sends one request, and completes `response` with its status and body."""

    async def ask(self, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[str, bytes]:
        self.http = H3Connection(self._quic)
        self.status, self.body = "", b""
        self.response: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(self.response, 5)

    def quic_event_received(self, event: QuicEvent) -> None:
        if not hasattr(self, "http"):
            return
        for received in self.http.handle_event(event):
            if isinstance(received, HeadersReceived):
                self.status = dict(received.headers)[b":status"].decode()
            if isinstance(received, DataReceived):
                self.body += received.data
            if getattr(received, "stream_ended", False) and not self.response.done():
                self.response.set_result((self.status, self.body))


async def main(port: int, certificate: str, client: str, secret: str) -> None:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="auth.example")
    configuration.load_verify_locations(certificate)
    credentials = base64.b64encode(f"{client}:{secret}".encode())
    common = [(b":scheme", b"https"), (b":authority", b"auth.example")]
    for method, path, body in ((b"POST", b"/oauth/token", BODY), (b"GET", b"/metrics", b"")):
        async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as connection:
            headers = [(b":method", method), *common, (b":path", path), (b"authorization", b"Basic " + credentials),
                       (b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", str(len(body)).encode())]
            status, received = await connection.ask(headers, body)  # type: ignore[attr-defined]
            print(path.decode(), status, "access_token" if b"access_token" in received else received.decode())


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
