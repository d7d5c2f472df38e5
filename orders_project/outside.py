"""Posting to addresses that others have chosen, without letting them reach what only we can reach.

The name is resolved here, each of its addresses must be a public one, and the connection goes to the very address
that was looked at: a name that means something else a moment later leads nowhere. Redirects aren't followed, no
proxy is asked, and however slowly the other side answers, it is over in time. (How long a name may take is for the
system's resolver to say: options timeout and attempts in resolv.conf.)
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

LONGEST_URL = 500
PORTS = (443, 8443)

CONNECT, SILENCE, ALL = 3, 5, 10  # seconds: to connect, between two bytes, and from the first to the last
MOST_READ = 64 * 1024  # bytes of an answer

PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")  # all that is given out as yet
TO_V4 = ipaddress.IPv6Network("2002::/16")  # 6to4: any IPv4 address may be in it


class Unreachable(Exception):
    """An address that nothing is sent to; it says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status; or, in words, why there is none."""

    status: int | None
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"It answered {self.status}."

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def check(url: str) -> SplitResult:
    """The parts of an address that may be posted to, as far as that can be told without asking for its name.

    Raises Unreachable.
    """
    if not (len(url) <= LONGEST_URL and url.isascii() and url.isprintable() and " " not in url):
        raise Unreachable(f"An address has at most {LONGEST_URL} letters, figures and signs, and no spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Unreachable("This isn’t an address.") from error
    private = settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise Unreachable("An address begins with https://")
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise Unreachable("An address is https:// and a host, and what comes after it: no user, and no #.")
    if not private and (443 if port is None else port) not in PORTS:
        raise Unreachable(f"The port is {' or '.join(map(str, PORTS))}.")
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return parts
    if not _may_be_asked(str(literal)):
        raise Unreachable("This address is in a private network.")
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Post some JSON, and see what is answered. Whatever goes wrong out there is an Answer, too."""
    until = time.monotonic() + ALL
    try:
        parts = check(url)
        with _connected(parts, until) as connection:
            return Answer(_posted(connection, parts, body, headers, until))
    except Unreachable as error:
        return Answer(None, str(error))
    except TimeoutError:
        return Answer(None, "It took too long.")
    except ssl.SSLCertVerificationError as error:
        return Answer(None, f"Its certificate is not good: {error.verify_message}.")
    except (OSError, HTTPException) as error:
        return Answer(None, f"The connection failed: {error or type(error).__name__}.")


def _may_be_asked(address: str) -> bool:
    """Whether an address is a public one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if settings.WEBHOOKS_TO_PRIVATE_ADDRESSES:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.is_global and ip in PUBLIC_V6 and ip not in TO_V4
    return ip.is_global and not ip.is_multicast


def _connected(parts: SplitResult, until: float) -> socket.socket:
    """A connection to the first of the host's addresses that takes it, if all of them are public ones."""
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreachable(f"The name {host} is not known.") from error
    addresses = [str(address[0]) for *_, address in found]
    if not all(_may_be_asked(address) for address in addresses):
        raise Unreachable(f"{host} is in a private network.")
    connection = _first_that_answers(addresses, port, until)
    if parts.scheme == "http":
        return connection
    try:
        connection.settimeout(_left(until, CONNECT))
        return _trust().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are good: those of the system, which take 20 ms to read."""
    return ssl.create_default_context()


def _first_that_answers(addresses: list[str], port: int, until: float) -> socket.socket:
    *others, last = addresses
    for address in others:
        try:
            return socket.create_connection((address, port), timeout=_left(until, CONNECT))
        except OSError:
            continue
    return socket.create_connection((last, port), timeout=_left(until, CONNECT))


def _posted(
    connection: socket.socket, parts: SplitResult, body: bytes, headers: Mapping[str, str], until: float
) -> int:
    """The status of the answer. The rest of it is read as far as it comes, so that nobody's connection breaks
    while they write; and forgotten."""
    request = HTTPConnection(str(parts.hostname))
    request.sock = connection
    connection.settimeout(_left(until, SILENCE))
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    about = {"Host": parts.netloc, "Content-Type": "application/json", "Connection": "close"}
    request.request("POST", target, body, {**about, **headers})
    answer = HTTPResponse(_Timed(connection, until), method="POST")  # type: ignore[arg-type]
    answer.begin()
    with suppress(OSError, HTTPException):  # it has said what it made of it
        answer.read(MOST_READ)
    return answer.status


class _Timed(RawIOBase):
    """What comes out of a connection until some moment, as HTTPResponse wants to read it."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self.connection, self.until = connection, until

    def makefile(self, mode: str) -> BufferedReader:
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.connection.settimeout(_left(self.until, SILENCE))
        return self.connection.recv_into(buffer)


def _left(until: float, at_most: float) -> float:
    """How many seconds one step may take. Raises TimeoutError when the time is up."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, at_most)
