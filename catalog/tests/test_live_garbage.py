"""Garbage on the WebSocket: who sends it is borne or sent away, and nobody else hears of it."""

import contextlib
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.live.sockets import LONGEST_MESSAGE
from catalog.tests.test_live import hear, hear_until, listening, told_of, with_key
from conftest import PATIENCE
from factories import api_key, place, product

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


@contextlib.contextmanager
def upgraded(server, key, *headers):
    """A bare socket on which a WebSocket was opened, with the answer to that."""
    with socket.create_connection((urlsplit(server).hostname, urlsplit(server).port), PATIENCE) as client:
        lines = [
            *("GET /ws/live HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Api-Key {key}"),
            *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers, "", ""),
        ]
        client.sendall("\r\n".join(lines).encode())
        yield client


def rest(client):
    """All that the server still says, to the end."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while more := client.recv(65536):
            heard += more
    return heard


def frame(opcode, payload, *, masked=True, final=True, length=None):
    """A frame of the client's, right or wrong."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if final else 0), (0x80 if masked else 0) | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


FRAMES = {
    "text that is no UTF-8": frame(1, b"\xff\xfe\xed\xa0\x80"),
    "an opcode that there is not": frame(0xB, b"x"),
    "a bit that is reserved": frame(0x41, b"x"),
    "no mask": frame(1, b"x", masked=False),
    "a ping that is cut in two": frame(9, b"x", final=False),
    "a ping that is too long": frame(9, b"x" * 200),
    "the second half of nothing": frame(0, b"x"),
    "an end that is half a code": frame(8, b"\x03"),
    "an end with a code that there is not": frame(8, b"\x00\x01"),
    "a length beyond all measure": frame(1, b"x", length=2**63),
    "no frame": b"GET / HTTP/1.1\r\n\r\n" * 100,
    "a huge frame": frame(2, b"x" * 5_000_000),
    "JSON as deep as it is long": frame(1, b"[" * 100_000),
    "ten thousand frames": frame(1, b"{}") * 10_000,
    "a frame in ten thousand parts": frame(1, b"x", final=False) + frame(0, b"x", final=False) * 10_000,
}


def test_garbage_frames_end_only_the_socket_of_who_sends_them(shop, server):
    product(shop, stock=10)
    key = api_key(shop)
    with listening(server, **with_key(key)) as other:
        hear(other)
        for what, garbage in FRAMES.items():
            with upgraded(server, key) as client:
                assert client.recv(12) == b"HTTP/1.1 101", what
                with contextlib.suppress(OSError):
                    client.sendall(garbage)
                    client.shutdown(socket.SHUT_WR)
                rest(client)
        hear_until(other, told_of(place(shop, ("MUG-01", 1))))


def test_any_frames_are_borne(shop, server):
    product(shop, stock=10)
    key = api_key(shop)
    frames = st.lists(
        st.builds(frame, st.integers(0, 127), st.binary(max_size=130), masked=st.booleans(), final=st.booleans())
        | st.binary(max_size=LONGEST_MESSAGE),
        max_size=5,
    )

    @given(frames)
    @settings(max_examples=settings().max_examples // 4)
    def send(parts):
        with upgraded(server, key) as client:
            with contextlib.suppress(OSError):
                client.sendall(b"".join(parts))
                client.shutdown(socket.SHUT_WR)
            rest(client)

    with listening(server, **with_key(key)) as other:
        hear(other)
        send()
        hear_until(other, told_of(place(shop, ("MUG-01", 1))))


@pytest.mark.parametrize(
    "header",
    [
        *(
            "Sec-WebSocket-Protocol: soap, \x01",
            'Sec-WebSocket-Extensions: permessage-deflate; x="',
            "Origin: \x80",
        ),
        *("Upgrade: h2c", "Content-Length: 10", "Sec-WebSocket-Version: 99", "Sec-WebSocket-Key: x"),
        *("Cookie: sessionid=\x80", f"X: {'x' * 60_000}"),
    ],
)
def test_odd_handshakes_are_answered(shop, server, header):
    with upgraded(server, api_key(shop), header) as client:
        client.shutdown(socket.SHUT_WR)
        assert rest(client).startswith((b"HTTP/1.1 1", b"HTTP/1.1 4", b"")), header
    with listening(server, **with_key(api_key(shop))) as another:
        assert hear(another)["type"] == "hello"
