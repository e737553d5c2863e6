"""Receives telemetry over OTLP and prints each span, log record and metric as one line of JSON.

OtelTap receives HTTP and prints. gRPC is received by Rotel, which exports it to OtelTap, compressed whatever its options say: since OtelTap
expects plain bodies, they are decompressed on the way.
"""

import argparse
import gzip
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import rotel


class Decompressor(BaseHTTPRequestHandler):
    """Passes requests on to `target`, decompressed."""

    target = ""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {"content-type": self.headers["content-type"]}
        request = urllib.request.Request(self.target + self.path, data=body, headers=headers)
        with urllib.request.urlopen(request) as response:
            answer = response.read()
            self.send_response(response.status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def wait_until_open(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", type=int, required=True, help="port of OtelTap")
    parser.add_argument("--grpc", type=int, help="port of Rotel")
    parser.add_argument("--unused", type=int, help="port of Rotel for HTTP")
    arguments = parser.parse_args()
    children = [subprocess.Popen([sys.executable, "-u", "-m", "oteltap", "--port", str(arguments.http)])]
    if arguments.grpc:
        # Rotel acknowledges an export before it has passed it on: exports that arrive before OtelTap listens are lost.
        wait_until_open(arguments.http)
        Decompressor.target = f"http://127.0.0.1:{arguments.http}"
        server = ThreadingHTTPServer(("127.0.0.1", 0), Decompressor)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        agent = pathlib.Path(rotel.__file__).parent / "rotel-agent"
        options = {
            "otlp-grpc-endpoint": f"127.0.0.1:{arguments.grpc}",
            "otlp-http-endpoint": f"127.0.0.1:{arguments.unused}",
            "exporter": "otlp",
            "otlp-exporter-protocol": "http",
            "otlp-exporter-endpoint": f"http://127.0.0.1:{server.server_port}",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        command = [agent, "start", "--disable-batching", *flags]
        children.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    # Until the test closes the pipe: at its end, however it ends.
    sys.stdin.read()
    for child in children:
        child.kill()


main()
