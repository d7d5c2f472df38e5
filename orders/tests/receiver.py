"""A merchant's own program, as webhooks find it: a real HTTP server that keeps what it was sent."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Message:
    """What came: the headers, their names in lower case, and the body as it was."""

    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


class Receiver:
    """Answers 200, unless `answer` says otherwise: it is given a message, and returns a status, or the very bytes
    to answer piece by piece."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answer: Callable[[Message], int | Iterator[bytes]] = lambda message: 200
        self.url = ""

    def told(self) -> list[tuple[str, int]]:
        """What it was told, in the order in which it came: kind and sequence."""
        return [(message.body["type"], message.body["sequence"]) for message in self.messages]


@contextmanager
def receiver(secure: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver, while it is needed; with a certificate, if it is given one."""
    there = Receiver()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            message = Message({name.lower(): value for name, value in self.headers.items()}, raw)
            there.messages.append(message)
            answer = there.answer(message)
            if isinstance(answer, int):
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            for piece in answer:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # who asked has had enough
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    if secure:
        server.socket = secure.wrap_socket(server.socket, server_side=True)
    there.url = f"http://127.0.0.1:{server.server_port}/holdfast"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
