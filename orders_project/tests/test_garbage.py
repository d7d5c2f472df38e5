"""The web server and what no browser sends it: requests that are none, that never end, that break off."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from django.http import UnreadablePostError
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from callers import an_order
from conftest import PATIENCE
from factories import api_key, on_shelf, place, product
from orders.tests.staff import signed_in
from orders_project import express

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]

DEEP = b"[" * 5000 + b"]" * 5000
MANY = "&".join(f"x{n}=1" for n in range(1000))


@contextlib.contextmanager
def connected(server: str) -> Iterator[socket.socket]:
    with socket.create_connection((urlsplit(server).hostname, urlsplit(server).port), PATIENCE) as client:
        yield client


def answer(client: socket.socket) -> int | None:
    """The status of the next answer, or None if the server hangs up."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while b"\r\n\r\n" not in heard and (more := client.recv(65536)):
            heard += more
    found = re.match(rb"HTTP/1\.[01] (\d{3})", heard)
    return int(found[1]) if found else None


def said(server: str, raw: bytes, *, hangs_up: bool = True) -> int | None:
    """What the server answers to these bytes, after which the client says no more."""
    with connected(server) as client:
        with contextlib.suppress(OSError):  # it may have heard enough already
            client.sendall(raw)
            if hangs_up:
                client.shutdown(socket.SHUT_WR)
        return answer(client)


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: 127.0.0.1", *headers, "", ""]).encode("latin-1") + body


NO_REQUESTS = [
    b"\r\n" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /healthz\r\n",  # HTTP/0.9
    b"GET /healthz HTTP/9.9\r\n\r\n",
    b"GET  /healthz  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
    b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: x\r\n" * 10_000 + b"\r\n",
    b"BREW\x00 /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    request("POST /api/v1/orders HTTP/1.1", "Content-Length: -1"),
    request("POST /api/v1/orders HTTP/1.1", "Content-Length: ten"),
    request("POST /api/v1/orders HTTP/1.1", "Content-Length: 1", "Content-Length: 2", body=b"{}"),
    request("POST /api/v1/orders HTTP/1.1", "Content-Length: 99999999999999999999999", body=b"{}"),
    request("POST /api/v1/orders HTTP/1.1", "Transfer-Encoding: chunked", body=b"ZZ\r\n{}\r\n0\r\n\r\n"),
    request("POST /api/v1/orders HTTP/1.1", "Transfer-Encoding: chunked", body=b"F" * 40 + b"\r\n{}"),
    request("POST /api/v1/orders HTTP/1.1", "Transfer-Encoding: gzip, x", body=b"{}"),
]
ODD_REQUESTS = [
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET /api/v1/products HTTP/1.1\r\n\r\n",  # of no host
    b"GET http://evil.example/api/v1/products HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /api/v1/products HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    request("TRACE /api/v1/orders HTTP/1.1"),
    request("GET /api/v1/products?search=\xff\xfe HTTP/1.1"),
    request("GET /%ff%00/..%2f..%2fetc/passwd HTTP/1.1"),
    request("GET /%C0%AE%C0%AE/\xe9 HTTP/1.1"),
    request("GET /static/../../../../etc/passwd HTTP/1.1"),
    request("GET /static/%00 HTTP/1.1"),
    request("GET /api/v1/products HTTP/1.1", "Authorization: Api-Key a", "Authorization: Api-Key b"),
    request("GET /api/v1/products HTTP/1.1", f"Authorization: Api-Key {'x' * 60_000}"),
    request("GET /admin/ HTTP/1.1", f"Cookie: {'; '.join(f'a{n}=1' for n in range(5000))}"),
    request("GET /admin/ HTTP/1.1", 'Cookie: sessionid=\x80\xff; sessionid="\\777"; =; ;;'),
    request("GET /admin/ HTTP/1.1", "Accept-Language: " + "x-" * 5000, "Range: bytes=5-1", "Accept: \xff/;q=x"),
    request("POST /admin/login/ HTTP/1.1", "Content-Type: multipart/form-data", "Content-Length: 2", body=b"--"),
    request(
        "POST /admin/login/ HTTP/1.1", "Content-Type: text/plain; charset=\xff", "Content-Length: 1", body=b"x"
    ),
    request(
        "POST /admin/login/ HTTP/1.1",
        *("Content-Type: multipart/form-data; boundary=x", "Content-Length: 99"),
        body=(
            b"--x\r\nContent-Disposition: form-data; name=\"\xff\x00\"; filename*=utf-8''%ff\r\n\r\n" + b"x" * 99
        )[:99],
    ),
    request("POST /api/v1/orders HTTP/1.1", "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    request("POST /api/v1/orders HTTP/1.1", "Content-Length: 0", "Expect: 200-maybe"),
]


def test_what_is_no_request_is_refused(server):
    for raw in NO_REQUESTS:
        status = said(server, raw)
        assert status is None or 400 <= status < 500, (raw[:100], status)
    assert said(server, request("GET /healthz HTTP/1.1"), hangs_up=False) == 200


def test_odd_requests_are_answered(server):
    for raw in ODD_REQUESTS:
        status = said(server, raw, hangs_up=False)
        assert status is not None, raw[:100]
        assert 200 <= status < 500, (raw[:100], status)


@given(st.lists(st.sampled_from([b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"Host: x", b": ", b"\x00"]) | st.binary()))
@settings(max_examples=settings().max_examples // 2)
def test_garbage_is_no_request(server, parts):
    status = said(server, b"".join(parts))
    assert status is None or 300 <= status < 500


# --- Bodies that break off ------------------------------------------------------------------------


def test_form_that_breaks_off_is_not_done(shop, server):
    """Of units=12 the last digit is lost on the way: nothing is received, not 1."""
    mug = product(shop, stock=10)
    browser = signed_in(shop)
    page = f"/staff/products/{mug.id}/receive/"
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', browser.get(page).content.decode())[1]
    cookies = "; ".join(f"{name}={one.value}" for name, one in browser.cookies.items())
    body = f"csrfmiddlewaretoken={token}&version=1&units=12".encode()
    headers = ["Content-Type: application/x-www-form-urlencoded", f"Cookie: {cookies}"]
    form = request(f"POST {page} HTTP/1.1", *headers, f"Content-Length: {len(body)}", body=body)
    assert said(server, form[:-1]) in (400, 403)
    assert on_shelf(shop) == (10, 0)
    assert said(server, form, hangs_up=False) == 302
    assert on_shelf(shop) == (22, 0)


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/orders/"])  # by the lane, and by Django
def test_order_that_breaks_off_is_not_placed(shop, server, path):
    """A body that is read as JSON, but is shorter than its length."""
    product(shop, stock=10)
    order = request(
        f"POST {path} HTTP/1.1",
        *(f"Authorization: Api-Key {api_key(shop)}", "Content-Type: application/json", "Content-Length: 5000"),
        body=json.dumps(an_order()).encode(),
    )
    assert said(server, order) == 400
    assert on_shelf(shop) == (10, 0)


def test_slow_clients_keep_nobody_from_ordering(shop, server):
    """More of them than there are threads; the lanes need none until a body is there."""
    product(shop, stock=10)
    head = [f"Authorization: Api-Key {api_key(shop)}", "Content-Type: application/json"]
    order = json.dumps(an_order()).encode()
    slow = request("POST /api/v1/orders HTTP/1.1", *head, f"Content-Length: {len(order)}", body=order[:-1])
    with ExitStack() as crowd:
        clients = [crowd.enter_context(connected(server)) for _ in range(40)]
        for client in clients:
            client.sendall(slow)
        quick = request("POST /api/v1/orders HTTP/1.1", *head, f"Content-Length: {len(order)}", body=order)
        assert said(server, quick, hangs_up=False) == 201
        clients[0].sendall(order[-1:])
        assert answer(clients[0]) == 201
    assert on_shelf(shop) == (10, 2)


def test_client_that_is_too_slow_is_let_go(monkeypatch):
    monkeypatch.setattr(express, "SLOWEST_BODY", 0.05)

    async def body():
        async def receive():
            return await asyncio.Future()  # there is more to come, and it never comes

        await express._whole({"headers": [(b"content-length", b"9")]}, receive)()

    with pytest.raises(UnreadablePostError):
        asyncio.run(body())


# --- What is read deeply, or at length ------------------------------------------------------------


def test_bodies_and_addresses_beyond_all_measure_are_refused(shop, server):
    """By every call that takes a body or parameters, those with a lane too."""
    product(shop)
    order = place(shop, ("MUG-01", 1))
    known = {"order_id": order.id, "business_id": shop.id, "product_id": order.items.get().product_id}
    schema = json.loads(
        Client().get("/api/schema", headers={"accept": "application/vnd.oai.openapi+json"}).content
    )
    key = f"Authorization: Api-Key {api_key(shop)}"
    for path, methods in schema["paths"].items():
        address = path.format_map({**dict.fromkeys(re.findall(r"{(\w+)}", path), UNKNOWN), **known})
        for method, call in methods.items():
            if "requestBody" in call:
                kind = ("Content-Type: application/json", f"Content-Length: {len(DEEP)}")
                raw = request(f"{method.upper()} {address} HTTP/1.1", key, *kind, body=DEEP)
            else:
                raw = request(f"{method.upper()} {address}?{MANY} HTTP/1.1", key)
            assert said(server, raw, hangs_up=False) in (400, 401, 404, 422), (method, path)
    assert on_shelf(shop) == (10, 1)


UNKNOWN = "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"
