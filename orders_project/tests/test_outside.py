"""Nobody reaches through us what only we can reach, and nobody keeps us for long.

Where a name leads is for the system's resolver to say, which is not ours: it is told here what to answer.
"""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orders.tests.receiver import Receiver, receiver
from orders_project import outside
from orders_project.outside import Unreachable, check, post

PUBLIC = "93.184.215.14"

PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("fc00::1", "fd12:3456::1", "ff02::1", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1", "2001::1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "100::1"),
]


@pytest.fixture
def to_this_machine(settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True


@pytest.fixture
def program(to_this_machine: None) -> Iterator[Receiver]:
    with receiver() as there:
        yield there


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """To what connections were made. None is."""
    asked: list[Any] = []

    def connect(address: Any, timeout: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)
    return asked


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have names mean these addresses, at each time that somebody asks the next ones."""
    left = list(answers)

    def look_up(host: str, port: int, **how: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


# --- Where to ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example/hook?token=a%20b&x=1",
        "https://shop.example:8443/",
        "https://SHOP.example:443",
        f"https://{PUBLIC}/",
        "https://[2606:4700:4700::1111]/",
        "https://shop.example/" + "x" * 479,
    ],
)
def test_address_is_taken(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "shop.example", "//shop.example", "http://shop.example", "ftp://shop.example", "file:///etc/passwd"),
        *(
            "https://",
            "https:///x",
            "https://ada@shop.example",
            "https://ada:pw@shop.example",
            "https://@x.example",
        ),
        *("https://shop.example/#x", "https://shop.example:80", "https://shop.example:22", "https://x.example:0"),
        *("https://shop.example:99999", "https://shop.example:x", "https://[::1", "https://shop.example/ x"),
        *("https://shop.example/\r\nX: y", "https://shop.example/\x00", "https://münchen.example"),
        "https://shop.example/" + "x" * 480,
        *(f"https://[{ip}]/" if ":" in ip else f"https://{ip}/" for ip in PRIVATE if "%" not in ip),
    ],
)
def test_address_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        check(url)


@pytest.mark.parametrize("private", PRIVATE)
def test_name_of_a_private_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any], private: str
) -> None:
    resolving(monkeypatch, [private])
    answer = post("https://shop.example/", b"{}", {})
    assert answer == outside.Answer(None, "shop.example is in a private network.")
    assert asked == []


def test_one_private_address_among_public_ones_is_enough(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    resolving(monkeypatch, [PUBLIC, "10.0.0.1"])
    assert post("https://shop.example/", b"{}", {}).status is None
    assert asked == []


def test_what_was_looked_at_is_what_is_asked(monkeypatch: pytest.MonkeyPatch, asked: list[Any]) -> None:
    """A name that is a public address when it is looked at, and ours when it is connected to."""
    resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    post("https://shop.example/", b"{}", {})
    assert asked == [(PUBLIC, 443)]


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1"])
def test_other_spellings_of_this_machine_are_not_asked(asked: list[Any], host: str) -> None:
    assert post(f"https://{host}/", b"{}", {}).error == f"{host} is in a private network."
    assert asked == []


def test_unknown_name_is_an_answer() -> None:
    assert post("https://shop.invalid/", b"{}", {}).error == "The name shop.invalid is not known."
    assert "not known" in post(f"https://{'x' * 64}.example/", b"{}", {}).error


# --- What comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 400, 404, 410, 500])
def test_status_is_told(program: Receiver, status: int) -> None:
    program.answer = lambda message: status
    answer = post(f"{program.url}?a=1", b'{"a": 1}', {"webhook-id": "7"})
    assert (answer.status, answer.is_success) == (status, status < 300)
    (message,) = program.messages
    assert message.body == {"a": 1}
    assert message.headers["webhook-id"] == "7"
    assert message.headers["host"] in program.url
    assert message.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(program: Receiver, status: int) -> None:
    with receiver() as inside:
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode()
        program.answer = lambda message: iter([head])
        answer = post(program.url, b"{}", {})
        assert (answer.status, answer.is_success) == (status, False)
        assert inside.messages == []


def test_proxy_of_the_environment_is_not_asked(program: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert post(program.url, b"{}", {}).is_success
        assert proxy.messages == []


def endless(head: bytes, piece: bytes, pause: float, ended: threading.Event) -> Iterator[bytes]:
    try:
        yield head
        while True:
            time.sleep(pause)
            yield piece
    finally:
        ended.set()


def test_giant_answer_is_not_read_to_its_end(program: Receiver) -> None:
    ended = threading.Event()
    program.answer = lambda message: endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2**16, 0, ended)
    assert post(program.url, b"{}", {}).is_success
    assert ended.wait(60)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: "], ids=["status", "header"])
def test_answer_byte_by_byte_is_cut_off(program: Receiver, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(outside, "ALL", 0.3)
    ended = threading.Event()
    program.answer = lambda message: endless(head, b"H", 0.02, ended)
    assert post(program.url, b"{}", {}) == outside.Answer(None, "It took too long.")
    assert ended.wait(60)


def test_body_byte_by_byte_is_cut_off_and_the_status_counts(
    program: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "ALL", 0.3)
    ended = threading.Event()
    program.answer = lambda message: endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.02, ended)
    assert post(program.url, b"{}", {}).is_success
    assert ended.wait(60)


@pytest.mark.parametrize(
    "bytes_back",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
        b"\x00" * 99,
    ],
    ids=["nothing", "garbage", "no status", "zeros", "many headers"],
)
def test_what_is_no_answer_is_one_to_us(program: Receiver, bytes_back: bytes) -> None:
    program.answer = lambda message: iter([bytes_back])
    answer = post(program.url, b"{}", {})
    assert answer.status is None
    assert answer.error


def test_nobody_there_is_an_answer(to_this_machine: None) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert "refused" in post(f"http://127.0.0.1:{port}/", b"{}", {}).error


# --- Certificates ------------------------------------------------------------------------------


@pytest.fixture
def secure(
    to_this_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], outside.Answer]]:
    """A server with a certificate for shop.example that we trust; whatever name is asked for leads to it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=shop.example"),
            *("-addext", "subjectAltName=DNS:shop.example"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    outside._trust.cache_clear()
    with receiver(context) as there:
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **how: real("127.0.0.1", *more, **how))
        yield lambda host: post(there.url.replace("http://127.0.0.1", f"https://{host}"), b"{}", {})
    outside._trust.cache_clear()


def test_certificate_is_for_the_name(secure: Callable[[str], outside.Answer]) -> None:
    assert secure("shop.example").status == 200
    assert "certificate is not good" in secure("other.example").error


def test_certificate_is_of_somebody_trusted(
    secure: Callable[[str], outside.Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "certificate is not good" in secure("shop.example").error
