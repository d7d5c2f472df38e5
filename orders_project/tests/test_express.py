"""The express lanes, as a client meets them: what a lane answers is what Django's view answers."""

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from callers import an_order
from catalog.models import ApiKey, Stock
from catalog.throttling import WINDOW
from conftest import PATIENCE, until
from factories import api_key, on_shelf, order_in, place, product
from orders.models import Order
from orders_project import express
from orders_project.express import Answer, Express


def on_a_server(test):
    return pytest.mark.slow(pytest.mark.usefixtures("committed", "all_is_well")(test))


HEADERS = (
    *("Content-Type", "ETag", "Location", "Retry-After", "WWW-Authenticate", "Idempotent-Replayed"),
    *("X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"),
    *("Strict-Transport-Security", "Content-Security-Policy", "Permissions-Policy", "Cache-Control"),
)
# Of two orders that are placed one after the other, and of a moment's difference: what can't be the same.
OF_ITS_OWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z|\d{6}-[0-9A-Z]{6}|(?<=\"seconds_left\",)\d+"
)


@pytest.fixture
def mug(shop):
    return product(shop, stock=10)


@pytest.fixture
def key(shop):
    return api_key(shop)


@pytest.fixture
def client(server, key):
    with httpx.Client(base_url=server, headers={"Authorization": f"Api-Key {key}"}, timeout=PATIENCE) as client:
        yield client


def told(answer):
    """What a client can see of an answer: status, headers, and the body with its names in their order."""
    headers = {name: answer.headers.get(name) for name in HEADERS}
    return answer.status_code, headers, json.loads(answer.content, object_pairs_hook=list)


def but_for_its_own(seen):
    return OF_ITS_OWN.sub("…", json.dumps(seen, separators=(",", ":")))


def by_lane_and_by_django(client, method, path, *, again=None, **request):
    """The answers to one request, the second time with a slash at its end, which no lane takes."""
    lane = client.request(method, path, **request)
    django = client.request(method, f"{path}/", **(again or request))
    assert ("allow" in lane.headers, "allow" in django.headers) == (False, True)  # only Django's have this one
    return lane, django


# --- The same answer, whoever gives it -----------------------------------------------------------


@on_a_server
@pytest.mark.parametrize(
    "more", [{}, {"draft": True}, {"note": "été", "shipping_address": {"text": "1 Mill Lane"}}]
)
def test_order_placed(client, mug, more):
    lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders", json=an_order(**more))
    assert lane.status_code == 201
    assert lane.json()["id"] != django.json()["id"]
    assert lane.headers["Location"] == f"/api/v1/orders/{lane.json()['id']}"
    assert but_for_its_own(told(lane)) == but_for_its_own(told(django))
    assert client.get(lane.headers["Location"]).status_code == 200


@on_a_server
def test_order_placed_before(client, mug):
    request = {"json": an_order(), "headers": {"Idempotency-Key": "k-1"}}
    first = client.post("/api/v1/orders", **request)
    lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders", **request)
    assert (lane.status_code, lane.headers["Idempotent-Replayed"]) == (200, "true")
    assert lane.json()["id"] == first.json()["id"]
    assert but_for_its_own(told(lane)) == but_for_its_own(told(django))


@on_a_server
def test_order_refused(client, shop, mug):
    before = on_shelf(shop)
    for body, status in (
        (an_order(("MUG-01", 99)), 409),
        (an_order(("NIX-99", 1)), 422),
        (an_order(currency="USD"), 422),
        (an_order(customer={"id": str(uuid4())}), 422),
    ):
        lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders", json=body)
        assert lane.status_code == status, lane.text
        assert told(lane) == told(django)
    assert on_shelf(shop) == before


@on_a_server
def test_order_that_is_not_plain_goes_to_django(client, shop, mug):
    """Wrong, or written in a way that is seldom used: the lane leaves it alone, and it is none the worse."""
    for body, status in (
        (b"{", 400),
        (b'{"channel": "fax"}', 422),
        (b'{"channel": "whatsapp", "channel": "whatsapp"}', 400),
        (json.dumps(an_order(total="1.00")).encode(), 422),
        (json.dumps(an_order(customer={"name": " Ada "})).encode(), 201),
        (json.dumps(an_order(shipping_address="1 Mill Lane")).encode(), 201),
    ):
        request = {"content": body, "headers": {"Content-Type": "application/json"}}
        one, other = (client.request("POST", path, **request) for path in ("/api/v1/orders", "/api/v1/orders/"))
        assert one.status_code == status, one.text
        assert but_for_its_own(told(one)) == but_for_its_own(told(other))
    assert on_shelf(shop) == (10, 4)


@on_a_server
def test_header_that_stands_twice_goes_to_django(client, mug):
    headers = [("Idempotency-Key", "k-1"), ("Idempotency-Key", "k-2")]
    assert "allow" in client.post("/api/v1/orders", json=an_order(), headers=headers).headers


@on_a_server
def test_payment_told_of(client, shop, mug):
    one, other = (place(shop, ("MUG-01", 1)) for _ in range(2))
    for order, told_again in ((one, False), (one, True)):
        money = {"provider": "bank", "reference": order.number, "amount": str(order.total)}
        lane = client.patch(f"/api/v1/orders/{order.id}/payment", json=money)
        django = client.patch(f"/api/v1/orders/{order.id}/payment/", json=money)
        assert ("allow" in lane.headers, lane.status_code, lane.json()["status"]) == (False, 200, "paid")
        assert told(lane) == told(django), told_again
    path = f"/api/v1/orders/{other.id}/payment"
    for money in ({"amount": "1.00"}, {"amount": str(other.total), "currency": "USD"}):
        money = {"provider": "bank", "reference": "TX-2", **money}
        lane, django = by_lane_and_by_django(client, "PATCH", path, json=money)
        assert lane.status_code in (409, 422)
        assert told(lane) == told(django)
    nobodys = f"/api/v1/orders/{uuid4()}/payment"
    lane, django = by_lane_and_by_django(client, "PATCH", nobodys, json=money)
    assert lane.status_code == 404
    assert told(lane) == told(django)


@on_a_server
def test_bulk(client, shop, mug):
    rows = [an_order(external_id="w-1"), an_order(("MUG-01", 99), external_id="w-2")]
    client.post("/api/v1/orders/bulk", json={"orders": rows})
    lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders/bulk", json={"orders": rows})
    assert [result["outcome"] for result in lane.json()["results"]] == ["replayed", "refused"]
    assert but_for_its_own(told(lane)) == but_for_its_own(told(django))
    order = order_in(shop, "pending")
    money = {"order": str(order.id), "provider": "bank", "reference": "TX-1", "amount": str(order.total)}
    request = {"json": {"payments": [money, {**money, "reference": "TX-2"}]}}
    client.patch("/api/v1/orders/bulk/payment", **request)
    lane, django = by_lane_and_by_django(client, "PATCH", "/api/v1/orders/bulk/payment", **request)
    assert [result["outcome"] for result in lane.json()["results"]] == ["confirmed", "refused"]
    assert told(lane) == told(django)


@on_a_server
def test_availability(client, shop, mug):
    place(shop, ("MUG-01", 3))
    lane, django = by_lane_and_by_django(client, "GET", f"/api/v1/products/{mug.id}/availability")
    assert lane.json()["available"] == 7
    assert told(lane) == told(django)
    lane, django = by_lane_and_by_django(client, "GET", f"/api/v1/products/{uuid4()}/availability")
    assert lane.status_code == 404
    assert told(lane) == told(django)


@on_a_server
def test_wrong_key_and_key_that_may_only_read(client, shop, mug):
    reader = api_key(shop, ApiKey.Scope.READ)
    for key, status in (("hf_nobody", 401), (reader, 403)):
        request = {"json": an_order(), "headers": {"Authorization": f"Api-Key {key}"}}
        lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders", **request)
        assert lane.status_code == status
        assert told(lane) == told(django)
    assert not Order.objects.filter(business=shop).exists()


@on_a_server
def test_key_that_calls_too_often(client, shop, key, mug):
    ApiKey.objects.filter(business=shop).update(throttled=True)
    key_id = ApiKey.objects.get(business=shop).id
    minute = int(time.time()) // WINDOW
    for each in (minute, minute + 1):
        cache.set(f"throttle:{key_id}:{each}", 10**9, timeout=3 * WINDOW)
    lane, django = by_lane_and_by_django(client, "POST", "/api/v1/orders", json=an_order())
    assert lane.status_code == 429
    for answer in (lane, django):
        wait = answer.json()["retry_after"]
        assert 0 < wait <= WINDOW + 1
        assert answer.headers["Retry-After"] == str(wait)
    assert re.sub(r"\d+", "…", json.dumps(told(lane))) == re.sub(r"\d+", "…", json.dumps(told(django)))
    assert not Order.objects.filter(business=shop).exists()


@on_a_server
def test_host_that_is_not_ours(client, mug):
    request = {"json": an_order(), "headers": {"Host": "evil.example"}}
    answer = client.post("/api/v1/orders", **request)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@on_a_server
@pytest.mark.parametrize(
    ("accept", "is_plain"),
    [
        ("*/*", True),
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("text/html, application/xml;q=0.9, */*;q=0.8", False),
        ("application/json; indent=4", False),
        ("application/json-seq", False),
        ("text/html", False),
    ],
)
def test_form_of_the_answer_that_is_asked_for(client, mug, accept, is_plain):
    path, headers = f"/api/v1/products/{mug.id}/availability", {"Accept": accept}
    one, other = (client.get(to, headers=headers) for to in (path, f"{path}/"))
    assert ("allow" not in one.headers) == is_plain
    assert (told(one), one.text) == (told(other), other.text)


# --- Keys and connections ------------------------------------------------------------------------


@on_a_server
def test_key_that_is_revoked_stops_at_once(server, shop, key, mug):
    """In each process of the server: none of them remembers a key."""

    def place_on_a_new_connection(_):
        headers = {"Authorization": f"Api-Key {key}"}
        return httpx.post(
            f"{server}/api/v1/orders", json=an_order(), headers=headers, timeout=PATIENCE
        ).status_code

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(place_on_a_new_connection, range(8))) == {201}
        ApiKey.objects.filter(business=shop).update(revoked_at=timezone.now())
        assert set(clients.map(place_on_a_new_connection, range(16))) == {401}
    assert on_shelf(shop) == (10, 8)


@on_a_server
def test_one_connection_for_many_requests(server, shop, key, mug):
    """Those of the lanes and those of Django take turns on it, refused ones among them."""
    address = urlsplit(server)
    wire = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
    wire.connect()
    port = wire.sock.getsockname()
    headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
    good, bad, far = json.dumps(an_order()), "{", json.dumps(an_order(("MUG-01", 99)))
    for body, status in ((good, 201), (bad, 400), (good, 201), (far, 409), ("", 422), (good, 201)):
        wire.request("POST", "/api/v1/orders", body, headers)
        answer = wire.getresponse()
        answer.read()
        assert answer.status == status
        wire.request("GET", f"/api/v1/products/{mug.id}/availability", headers=headers)
        assert json.loads(wire.getresponse().read())["sku"] == "MUG-01"
    assert wire.sock.getsockname() == port
    wire.close()
    assert on_shelf(shop) == (10, 3)


def raw(server, key, body, **headers):
    """A connection on which an order was asked for, whose answer is still to come."""
    address = urlsplit(server)
    wire = socket.create_connection((address.hostname, address.port), timeout=PATIENCE)
    lines = {
        "Host": address.netloc,
        "Authorization": f"Api-Key {key}",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    wire.sendall(f"POST /api/v1/orders HTTP/1.1\r\n{head}\r\n".encode() + body)
    return wire


@on_a_server
def test_client_that_hangs_up_before_the_answer_has_its_order(server, shop, key, client, mug, another_session):
    """Its request waits for the shelf while it hangs up. Its retry finds the order that was made."""
    other = another_session()
    other.execute("SELECT FROM catalog_stock WHERE business_id = %s FOR UPDATE", [shop.id])
    wire = raw(server, key, json.dumps(an_order()).encode(), **{"Idempotency-Key": "k-1"})
    until(somebody_waits)
    wire.close()
    other.rollback()
    until(lambda: Order.objects.filter(business=shop).exists())

    def retry():
        return client.post("/api/v1/orders", json=an_order(), headers={"Idempotency-Key": "k-1"})

    until(lambda: retry().status_code != 409)  # the first is still under way
    answer = retry()
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (200, "true")
    assert answer.json()["id"] == str(Order.objects.get(business=shop).id)
    assert on_shelf(shop) == (10, 1)


def somebody_waits():
    """Whether a session of this database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


@on_a_server
def test_server_that_is_stopped_in_mid_sale_finishes_what_it_began(web, shop, key):
    """Who was told of an order has it, nobody waits for ever, and the processes end by themselves."""
    product(shop, stock=100_000)
    placed, over = [], threading.Event()

    def buy():
        headers = {"Authorization": f"Api-Key {key}"}
        with httpx.Client(base_url=web.address, headers=headers, timeout=PATIENCE) as client:
            while not over.is_set():
                try:
                    answer = client.post("/api/v1/orders", json=an_order())
                except httpx.TransportError:
                    return "the server is gone"
                if answer.status_code != 201:
                    return answer.text
                placed.append(answer.json()["id"])
        return "it never ended"

    with ThreadPoolExecutor(16) as clients:
        buyers = [clients.submit(buy) for _ in range(16)]
        try:
            until(lambda: len(placed) >= 100)
            web.stop()
            assert {buyer.result(timeout=PATIENCE) for buyer in buyers} == {"the server is gone"}
        finally:
            over.set()
    assert web.process.returncode == 0
    orders = {str(order_id) for order_id in Order.objects.filter(business=shop).values_list("id", flat=True)}
    assert set(placed) <= orders
    assert len(set(placed)) == len(placed)
    assert Stock.objects.get(business=shop).reserved_stock == len(orders)


# --- What a server shows only when it is drowned -------------------------------------------------


class SlowLane:
    """A lane whose work waits for a word, or fails."""

    method = "GET"
    route = "slow"
    largest_body = 0
    most_together = 10

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def read(self, plain):
        return plain

    def answer(self, key, batch):
        self.begun.set()
        assert self.go.wait(PATIENCE)
        if key == "broken":
            raise ZeroDivisionError
        return [Answer(200, b"{}")] * len(batch)


async def ask(application, key="hf_1"):
    """Status, headers and body of an answer, asked for without a server between."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    headers = {"host": "localhost", "authorization": f"Api-Key {key}"}
    scope = {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "path": "/slow",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await application(scope, receive, send)
    start, body = sent
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], answered, json.loads(body["body"])


def drowned(monkeypatch, scene):
    """Play a scene with a lane in which one may wait."""
    monkeypatch.setattr(express, "MOST_WAITING", 1)
    lane = SlowLane()

    async def play():
        with ThreadPoolExecutor(1) as executor:
            application = Express([lane], django=None, executor=executor, sockets=None, background=None)
            return await asyncio.wait_for(scene(lane, application), PATIENCE)

    return asyncio.run(play())


def test_more_than_may_wait_are_told_to_come_back(monkeypatch):
    async def scene(lane, application):
        first = asyncio.create_task(ask(application))
        assert await asyncio.to_thread(lane.begun.wait, PATIENCE)
        refused = await ask(application)  # while the first still waits
        lane.go.set()
        return await first, refused, await ask(application)

    first, (status, headers, problem), later = drowned(monkeypatch, scene)
    assert (first[0], later[0]) == (200, 200)
    assert (status, problem["code"], problem["retry_after"]) == (503, "busy", 1)
    assert headers["retry-after"] == "1"
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-frame-options"] == "DENY"


def test_defect_is_answered_and_the_next_one_served(monkeypatch):
    async def scene(lane, application):
        lane.go.set()
        return await ask(application, "broken"), await ask(application)

    (status, _, problem), later = drowned(monkeypatch, scene)
    assert (status, problem["code"]) == (500, "server_error")
    assert later[0] == 200
