"""Clients of the API: they write down what they ask before they ask it, and ask again until they know."""

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from proofs.chaos.journal import Journal
from proofs.chaos.shop import Shop

PATIENCE = 5  # seconds for an answer, after which a client asks again on a new connection
GIVES_UP = 90  # seconds without an answer, which no fault should last
PAUSE = (0.05, 0.3)  # seconds before it asks again
UNSETTLED = ("idempotency_key_in_flight", "throttled")  # refusals that are no answer yet
# What is written down of an answer: all that the checker compares, and why it was a refusal.
TOLD = ("id", "status", "payment_status", "version", "payment_due_at", "outcome", "code", "detail")

Answer = dict[str, Any]

numbers = itertools.count(1)  # of everything that is asked for


class Gate:
    """What clients ask through: it can have them rest, each with its answer, and closes when they should leave."""

    def __init__(self) -> None:
        self.closed = False
        self._open = True
        self._inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One question and its answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._open)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def rest(self, seconds: float) -> bool:
        """Let nobody begin to ask, and wait for the answers; whether all of them came in time."""
        with self._changed:
            self._open = False
            return self._changed.wait_for(lambda: self._inside == 0, seconds)

    def go_on(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Have everybody bring to an end what they began, and begin nothing new."""
        self.closed = True
        self.go_on()


class Caller:
    """Somebody with a key to the shop's API and one connection, who writes down every question and answer."""

    def __init__(self, shop: Shop, journal: Journal, gate: Gate) -> None:
        self.shop = shop
        self.gate = gate
        self._journal = journal
        address = urlsplit(shop.web)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE)

    def ask(
        self,
        verb: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        sign: Callable[[bytes], Mapping[str, str]] | None = None,
        **intent: Any,
    ) -> Answer | None:
        """Ask for something until it is settled. The answer; None if it was refused, or never came.

        The headers are the shop's key, or for each try those that `sign` makes of the body. `intent` is what the
        checker has to know of the question.
        """
        with self.gate.turn():
            number = next(numbers)
            self._journal.write("asked", number=number, verb=verb, key=key, **intent)
            sent = json.dumps(body).encode() if body else b""
            gives_up = time.monotonic() + GIVES_UP
            while time.monotonic() < gives_up:
                since = time.time()
                answered = self._once(method, f"/api/v1{path}", sent, sign(sent) if sign else self._headers(key))
                if answered is None:
                    self._journal.write("unheard", number=number, since=since)
                else:
                    status, told = answered
                    settled = status < 500 and told.get("code") not in UNSETTLED
                    short = {name: told[name] for name in TOLD if name in told}
                    self._journal.write(
                        "answered", number=number, since=since, http=status, settled=settled, told=short
                    )
                    if settled:
                        return told if status < 400 else None
                time.sleep(random.uniform(*PAUSE))
            return None

    def _headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.shop.key}", **({"Idempotency-Key": key} if key else {})}

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Answer] | None:
        """The status and the answer; None if nothing came, or half of it."""
        connection = self._connection
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            told = json.loads(response.read())
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            connection.close()
            return None
        return response.status, told if isinstance(told, dict) else {}
