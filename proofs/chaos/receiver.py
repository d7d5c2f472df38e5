"""Somebody who is told by webhook what happens to orders, and writes it down; now and then they don't listen."""

import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from proofs.chaos.journal import Journal

AWAY = 0.01  # of the messages


class Receiver:
    """A web server of this machine, in a thread of its own; `address` is where it is told."""

    def __init__(self, journal: Journal) -> None:
        class Hears(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken = random.random() > AWAY
                journal.write("received", event=told["id"], taken=taken)
                self.send_response(204 if taken else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Hears)
        self.address = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
