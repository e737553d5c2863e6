"""A TCP proxy that can delay what the server behind it answers."""

import socket
import threading
import time

from stack import free_ports


class Proxy:
    def __init__(self, port):
        self.target, self.delay, self.is_open = port, 0.0, True
        (self.port,) = free_ports(1)
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.is_open:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                continue
            for source, sink, is_delayed in ((near, far, False), (far, near, True)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.copy, args=(source, sink, is_delayed), daemon=True).start()

    def copy(self, source, sink, is_delayed):
        try:
            while chunk := source.recv(65536):
                if is_delayed and self.delay:
                    time.sleep(self.delay)
                sink.sendall(chunk)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.is_open = False
        self.listener.close()
