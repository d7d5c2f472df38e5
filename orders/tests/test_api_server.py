"""The promise, kept by a running server: its processes on one side, crowds of clients on the other.

What waits in one of its processes is placed together, so three things stand between a crowd and one unit, and
each was taken out to see what is left. Without the admission (a Shelf.admit that admits everyone) no unit is
promised twice, but who comes too late is told 503 and not what is left. Without the guard
(the WHERE of catalog.stock.MOVE) the processes, who don't see each other's shelf, run into the CHECK
stock_never_oversold: 500, and again no unit promised twice. With neither guard nor CHECK units are promised
twice, with the admission or without: the admission answers, the guard and the CHECK keep the promise.
"""

import http.client
import json
from collections import Counter
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection

from callers import an_order
from factories import api_key, on_shelf, product
from orders.models import Order, Payment
from orders.tasks import expire_due_orders
from orders.tests.crowd import at_once

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


@pytest.fixture
def key(shop):
    return api_key(shop)


@pytest.fixture
def client(server, key):
    with httpx.Client(base_url=f"{server}/api/v1", headers={"Authorization": f"Api-Key {key}"}) as client:
        yield client


def buyers(count, quantity=1, **headers):
    """As many requests to place an order, each of another buyer."""
    return [
        {
            "method": "POST",
            "url": "/api/v1/orders",
            "json": an_order(("MUG-01", quantity), customer={"name": f"Buyer {n}"}),
            "headers": headers,
        }
        for n in range(count)
    ]


def statuses(answers):
    return Counter(answer["status"] for answer in answers)


def available(client, mug):
    shelf = client.get(f"/products/{mug.id}/availability").json()
    return shelf["stock_quantity"], shelf["reserved_stock"], shelf["available"]


def test_place_hundred_buyers_for_one_unit(shop, server, key, client):
    """Red without the admission, without the guard, and with neither guard nor CHECK (two to a hundred orders)."""
    mug = product(shop, stock=1)
    answers = at_once(server, key, buyers(100))
    assert statuses(answers) == {201: 1, 409: 99}
    for answer in answers:
        if answer["status"] == 409:
            assert answer["headers"]["content-type"] == "application/problem+json"
            assert answer["body"]["code"] == "insufficient_stock"
            [short] = answer["body"]["items"]
            assert (short["sku"], short["requested"], short["available"]) == ("MUG-01", 1, 0)
    assert available(client, mug) == (1, 1, 0)
    assert Order.objects.filter(business=shop).count() == 1


def test_place_thousand_buyers_for_fifty_units(shop, server, key, client):
    """Red without the admission, without the guard, and with neither guard nor CHECK (55 to 1000 orders)."""
    mug = product(shop, stock=50)
    answers = at_once(server, key, buyers(1000))
    assert statuses(answers) == {201: 50, 409: 950}
    assert {answer["body"]["code"] for answer in answers if answer["status"] == 409} == {"insufficient_stock"}
    placed = {answer["body"]["id"] for answer in answers if answer["status"] == 201}
    assert placed == {
        str(order_id) for order_id in Order.objects.filter(business=shop).values_list("id", flat=True)
    }
    assert available(client, mug) == (50, 50, 0)


def test_place_ten_buyers_for_five_units_of_whom_three_pay(shop, server, key, client):
    """Red without the admission; ten meet too seldom to be red for certain without the guard alone."""
    mug = product(shop, stock=5)
    answers = at_once(server, key, buyers(10), processes=2, threads=5)
    assert statuses(answers) == {201: 5, 409: 5}
    assert available(client, mug) == (5, 5, 0)
    assert len(client.get("/reservations?status=active").json()["results"]) == 5
    orders = [answer["body"] for answer in answers if answer["status"] == 201]
    payments = [
        {
            "method": "PATCH",
            "url": f"/api/v1/orders/{order['id']}/payment",
            "json": {"provider": "bank", "reference": order["number"], "amount": order["total"]},
        }
        for order in orders[:3]
    ]
    paid = at_once(server, key, payments * 2, processes=2, threads=3)  # each is told twice
    assert statuses(paid) == {200: 6}
    assert {answer["body"]["status"] for answer in paid} == {"paid"}
    assert available(client, mug) == (2, 2, 0)
    assert len(client.get("/reservations?status=active").json()["results"]) == 2
    assert Payment.objects.filter(business=shop).count() == 3


def test_place_with_one_key_fifty_times_at_once_makes_one_order(shop, server, key, client):
    mug = product(shop, stock=10)
    request = buyers(1, **{"Idempotency-Key": "k-1"})
    answers = at_once(server, key, request * 50, processes=2, threads=25)
    found = statuses(answers)
    assert found[201] == 1
    assert set(found) <= {200, 201, 409}
    [first] = [answer["body"]["id"] for answer in answers if answer["status"] == 201]
    for answer in answers:
        if answer["status"] == 200:
            assert (answer["body"]["id"], answer["headers"]["idempotent-replayed"]) == (first, "true")
        if answer["status"] == 409:
            assert answer["body"]["code"] == "idempotency_key_in_flight"
            assert answer["headers"]["retry-after"] == "1"
    again = client.post("/orders", json=request[0]["json"], headers={"Idempotency-Key": "k-1"})
    assert (again.status_code, again.json()["id"]) == (200, first)
    assert available(client, mug) == (10, 1, 9)


def test_place_the_same_cart_of_one_customer_twenty_times_at_once_makes_one_order(shop, server, key, client):
    """A double click of a client without a key, twenty times over."""
    mug = product(shop, stock=10)
    request = buyers(1)
    request[0]["json"]["customer"] = {"name": "Ada", "phone": "+447700900123"}
    answers = at_once(server, key, request * 20, processes=2, threads=10)
    assert statuses(answers) == {201: 1, 409: 19}
    [first] = [answer["body"]["id"] for answer in answers if answer["status"] == 201]
    for answer in answers:
        if answer["status"] == 409:
            assert (answer["body"]["code"], answer["body"]["order"]) == ("duplicate_order", first)
    assert available(client, mug) == (10, 1, 9)


def test_pay_cancel_and_expire_at_once_has_one_winner(shop, server, key, client):
    product(shop, stock=10)
    orders = [client.post("/orders", json=each["json"]).json() for each in buyers(6)]
    requests = []
    for order in orders:
        url = f"/api/v1/orders/{order['id']}"
        money = {"provider": "bank", "reference": order["number"], "amount": order["total"]}
        requests += [
            {"method": "PATCH", "url": f"{url}/payment", "json": money},
            {"method": "DELETE", "url": url},
            {"method": "PATCH", "url": f"{url}/payment", "json": {"status": "failed", "release": True}},
        ]
    answers = at_once(server, key, requests, processes=3, threads=6)
    assert set(statuses(answers)) <= {200, 409}
    for order in orders:
        now = client.get(f"/orders/{order['id']}").json()
        assert (now["status"], now["payment_status"]) in {
            *(("paid", "paid"), ("cancelled", "refund_due"), ("cancelled", "pending"), ("cancelled", "failed")),
        }
        # Whoever was first, the money that came in is on the books.
        assert len(now["payments"]) == 1


def test_sweep_gives_back_what_was_not_paid_in_time(shop, server, client):
    mug = product(shop, stock=10)
    order = client.post("/orders", json=an_order(("MUG-01", 4))).json()
    assert available(client, mug) == (10, 4, 6)
    with connection.cursor() as cursor:
        for statement in (
            "UPDATE orders_order SET created_at = created_at - interval '16 min', placed_at = placed_at"
            " - interval '16 min', payment_due_at = payment_due_at - interval '16 min' WHERE id = %s",
            "UPDATE reservations_stockreservation SET created_at = created_at - interval '16 min',"
            " expires_at = expires_at - interval '16 min' WHERE order_id = %s",
        ):
            cursor.execute(statement, [order["id"]])
    assert client.get(f"/orders/{order['id']}").json()["holds"][0]["seconds_left"] == 0
    assert expire_due_orders() >= 1
    assert available(client, mug) == (10, 0, 10)
    swept = client.get(f"/orders/{order['id']}").json()
    assert (swept["status"], swept["cancel_reason"]) == ("cancelled", "payment_timeout")
    assert [hold["status"] for hold in swept["holds"]] == ["expired"]
    assert on_shelf(shop) == (10, 0)


# --- What only a real connection can send ------------------------------------------------------------


def test_place_in_pieces_without_a_length_is_refused_plainly(shop, client):
    """WSGI shows no such body, and "items: this field is required" would send its sender on a long search."""
    product(shop)
    body = json.dumps(an_order()).encode()
    pieces = {"content": iter([body[:20], body[20:]]), "headers": {"Content-Type": "application/json"}}
    response = client.post("/orders", **pieces)
    assert (response.status_code, response.json()["code"]) == (411, "length_required")
    assert not Order.objects.filter(business=shop).exists()


@pytest.mark.parametrize(
    "lines",
    [
        b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key \xff\xfe\r\n\r\n",
        b"GET /api/v1/orders?sku=%ff%00 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"GET /api/v1/orders/%ff%fe HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"GET /api/v1/orders?sku=\xff HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"GET /api/v1/../../admin HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"BREW /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/orders HTTP/1.1\r\nHost: a\xc3\xa9\r\nAuthorization: Api-Key %KEY%\r\n\r\n",
        b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n"
        b"Content-Type: application/json\r\nContent-Length: abc\r\n\r\n{}",
        b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key %KEY%\r\n"
        b"Content-Type: application/json\r\nIdempotency-Key: \xe2\x82\xac\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_raw_nonsense_is_refused(server, key, lines):
    address = urlsplit(server)
    connection_ = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection_.connect()
    connection_.sock.sendall(
        lines.replace(b"%KEY%", key.encode()).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    )
    response = http.client.HTTPResponse(connection_.sock)
    response.begin()
    assert 400 <= response.status < 500, response.read()
    connection_.close()


def test_place_and_hang_up_leaves_the_books_in_order(shop, server, key, client):
    mug = product(shop, stock=10)
    body = json.dumps(an_order(("MUG-01", 1), external_id="hung-up")).encode()
    address = urlsplit(server)
    for cut in (10, len(body) // 2, len(body)):
        connection_ = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection_.putrequest("POST", "/api/v1/orders")
        connection_.putheader("Authorization", f"Api-Key {key}")
        connection_.putheader("Content-Type", "application/json")
        connection_.putheader("Content-Length", str(len(body)))
        connection_.endheaders(body[:cut])
        connection_.close()
    # Whether or not the last one was placed before its buyer hung up, asking again finds one order.
    answers = [client.post("/orders", json=json.loads(body)) for _ in range(2)]
    assert answers[0].status_code in (200, 201)
    assert answers[1].status_code == 200
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert available(client, mug) == (10, 1, 9)
