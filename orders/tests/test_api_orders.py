"""Placing, reading, editing and cancelling over the API, as clients see it."""

import uuid
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from redis import Redis, RedisError

from callers import Caller, an_order, refused
from catalog.models import Product
from customers.services import Buyer
from factories import BusinessFactory, on_shelf, order_in, pay, place, product, verb
from orders.models import Order

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

ORDER_KEYS = {
    *("id", "number", "status", "payment_status", "channel", "customer", "items", "currency"),
    *("subtotal", "shipping_fee", "discount", "total", "payment_due_at", "holds", "payments", "shipments"),
    *("shipping_address", "note", "external_id", "cancel_reason"),
    *("created_at", "placed_at", "paid_at", "cancelled_at", "version"),
}
UNKNOWN = uuid.UUID(int=7)
WINDOW = timedelta(minutes=15)


@pytest.fixture
def mug(shop):
    return product(shop)


def test_place_answers_the_order_that_clients_build_on(shop, api, mug):
    body = an_order(
        ("MUG-01", 2),
        customer={
            "name": "Ada Lovelace",
            "phone": "07700 900123",
            "email": "Ada@Example.com",
            "external_id": "c-1",
        },
        shipping_address={"line1": "12 St James's Square", "city": "London", "country": "GB"},
        shipping_fee="3.50",
        discount="1.00",
        note="Ring twice",
        external_id="web-1",
        currency="GBP",
    )
    response = api.post("/orders", body)
    order = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/orders/{order['id']}"
    assert response["ETag"] == '"1"'
    assert set(order) == ORDER_KEYS
    assert (order["status"], order["payment_status"], order["channel"]) == ("pending", "pending", "whatsapp")
    assert (order["currency"], order["subtotal"], order["total"]) == ("GBP", "19.80", "22.30")
    assert (order["shipping_fee"], order["discount"]) == ("3.50", "1.00")
    customer_id = order["customer"].pop("id")
    assert order["customer"] == {
        "name": "Ada Lovelace",
        "phone": "+447700900123",
        "email": "ada@example.com",
        "external_id": "c-1",
    }
    assert uuid.UUID(customer_id)
    [item] = order["items"]
    assert item == {
        "id": item["id"],
        "product": str(mug.id),
        "sku": "MUG-01",
        "name": "Product MUG-01",
        "unit_price": "9.90",
        "quantity": 2,
        "line_total": "19.80",
    }
    [hold] = order["holds"]
    assert (hold["order"], hold["product"], hold["sku"]) == (order["id"], str(mug.id), "MUG-01")
    assert (hold["quantity"], hold["status"], hold["expires_at"]) == (2, "active", order["payment_due_at"])
    assert 0 < hold["seconds_left"] <= 15 * 60
    assert order["shipping_address"] == body["shipping_address"]
    assert (order["note"], order["external_id"], order["version"]) == ("Ring twice", "web-1", 1)
    assert api.get(f"/orders/{order['id']}").json() | {"holds": []} == order | {
        "holds": [],
        "customer": {"id": customer_id, **order["customer"]},
    }
    assert on_shelf(shop) == (10, 2)


def test_place_answers_with_and_without_a_slash_at_the_end(api, mug):
    placed = [api.post(path, an_order()) for path in ("/orders", "/orders/")]
    assert [response.status_code for response in placed] == [201, 201]
    for order in placed:
        both = [api.get(f"{order['Location']}{slash}").json()["id"] for slash in ("", "/")]
        assert both == [order.json()["id"]] * 2
    assert len(api.get("/orders/").json()["results"]) == 2


@pytest.mark.parametrize(
    ("currency", "price", "shown"), [("GBP", "9.90", "9.90"), ("JPY", "1990", "1990"), ("KWD", "1.250", "1.250")]
)
def test_money_is_text_with_the_decimals_of_its_currency(db, currency, price, shown):
    shop = BusinessFactory(currency=currency)
    product(shop, price=price)
    api = Caller(shop)
    order = api.post("/orders", an_order(shipping_fee="0", discount=0)).json()
    zero = {"GBP": "0.00", "JPY": "0", "KWD": "0.000"}[currency]
    assert (order["total"], order["items"][0]["unit_price"], order["items"][0]["line_total"]) == (shown,) * 3
    assert (order["shipping_fee"], order["discount"]) == (zero, zero)
    paid = {"provider": "bank", "reference": "TX", "amount": price}
    order = api.patch(f"/orders/{order['id']}/payment", paid).json()
    assert order["payments"][0]["amount"] == shown
    assert api.get("/customers").json()["results"][0]["total_spent"] == shown
    assert api.get("/products").json()["results"][0]["price"] == shown
    [sums] = api.get(f"/orders/stats/{shop.id}").json()["currencies"]
    assert (sums["gross"], sums["refunded"], sums["aov"]) == (shown, zero, shown)


@pytest.mark.parametrize(("currency", "amount"), [("GBP", "0.001"), ("JPY", "0.5"), ("KWD", "0.0001")])
def test_place_refuses_amounts_that_the_currency_has_no_coin_for(db, currency, amount):
    shop = BusinessFactory(currency=currency)
    product(shop, price="2")
    problem = refused(Caller(shop).post("/orders", an_order(discount=amount)), 422, "invalid_request")
    assert problem["errors"][0]["field"] == "discount"
    assert on_shelf(shop) == (10, 0)


def test_place_takes_a_product_by_its_id_and_a_known_customer_by_theirs(shop, api, mug):
    first = api.post("/orders", an_order(customer={"name": "Ada", "email": "ada@example.com"})).json()
    lines = [{"product": str(mug.id), "quantity": 2}]
    second = api.post("/orders", an_order(items=lines, customer={"id": first["customer"]["id"]})).json()
    assert second["customer"] == first["customer"]
    assert second["items"][0]["sku"] == "MUG-01"


def test_place_takes_an_address_pasted_from_a_chat(api, mug):
    order = api.post("/orders", an_order(shipping_address="12 High St\nLeeds\nLS1 1AA")).json()
    assert order["shipping_address"] == {"text": "12 High St\nLeeds\nLS1 1AA"}


def test_place_merges_lines_of_one_sku(shop, api, mug):
    order = api.post("/orders", an_order(("MUG-01", 2), ("MUG-01", 3))).json()
    assert [(item["sku"], item["quantity"]) for item in order["items"]] == [("MUG-01", 5)]
    assert [hold["quantity"] for hold in order["holds"]] == [5]
    assert on_shelf(shop) == (10, 5)


def test_place_as_a_draft_holds_nothing_until_it_is_submitted(shop, api, mug):
    draft = api.post("/orders", an_order(draft=True)).json()
    assert (draft["status"], draft["payment_due_at"], draft["placed_at"], draft["holds"]) == (
        "draft",
        None,
        None,
        [],
    )
    assert on_shelf(shop) == (10, 0)
    pending = api.patch(f"/orders/{draft['id']}/status", {"status": "pending"}).json()
    assert pending["status"] == "pending"
    assert pending["holds"][0]["expires_at"] == pending["payment_due_at"]
    assert on_shelf(shop) == (10, 1)


def test_place_short_of_stock_lists_every_short_sku(shop, api):
    one, two, none = product(shop, "ONE", stock=1), product(shop, "TWO", stock=9), product(shop, "NONE", stock=0)
    response = api.post("/orders", an_order(("ONE", 3), ("TWO", 2), ("NONE", 1)))
    problem = refused(response, 409, "insufficient_stock")
    assert problem["items"] == [
        {"sku": "ONE", "product": str(one.id), "requested": 3, "available": 1},
        {"sku": "NONE", "product": str(none.id), "requested": 1, "available": 0},
    ]
    assert "Product ONE: only 1 left, you asked for 3" in problem["detail"]
    assert on_shelf(shop, "TWO") == (9, 0)
    assert not Order.objects.filter(business=shop).exists()
    assert two.sku not in problem["detail"]


def test_place_unknown_and_inactive_products_names_them(shop, api, mug):
    Product.objects.filter(id=mug.id).update(is_active=False)
    problem = refused(api.post("/orders", an_order()), 422, "inactive_product")
    assert problem["items"] == [{"sku": "MUG-01", "product": str(mug.id)}]
    lines = [{"sku": "NO-1", "quantity": 1}, {"product": str(UNKNOWN), "quantity": 1}]
    problem = refused(api.post("/orders", an_order(items=lines)), 422, "unknown_sku")
    assert problem["items"] == [{"sku": "NO-1"}, {"product": str(UNKNOWN)}]


def test_place_in_another_currency_or_with_too_much_discount_is_refused(shop, api, mug):
    problem = refused(api.post("/orders", an_order(currency="USD")), 422, "currency_mismatch")
    assert (problem["currency"], problem["expected"]) == ("USD", "GBP")
    problem = refused(api.post("/orders", an_order(discount="9.91")), 422, "discount_too_large")
    assert (problem["discount"], problem["subtotal"], problem["currency"]) == ("9.91", "9.90", "GBP")
    assert on_shelf(shop) == (10, 0)


def test_place_for_an_unknown_customer_is_refused(api, mug):
    response = api.post("/orders", an_order(customer={"id": str(UNKNOWN)}))
    assert refused(response, 422, "unknown_customer")["customer"] == str(UNKNOWN)


# --- The same request again ----------------------------------------------------------------------


def test_place_with_the_same_key_replays(shop, api, mug):
    first = api.post("/orders", an_order(), Idempotency_Key="k-1")
    again = api.post("/orders", an_order(), Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert again.json()["id"] == first.json()["id"]
    assert on_shelf(shop) == (10, 1)


def test_place_with_the_same_key_but_another_body_is_refused(shop, api, mug):
    first = api.post("/orders", an_order(), Idempotency_Key="k-1").json()
    other = api.post("/orders", an_order(("MUG-01", 2)), Idempotency_Key="k-1")
    problem = refused(other, 422, "idempotency_key_reused")
    assert (problem["idempotency_key"], problem["order"]) == ("k-1", first["id"])
    assert on_shelf(shop) == (10, 1)


def test_place_with_a_key_that_was_refused_may_be_tried_again(shop, api, mug):
    refused(api.post("/orders", an_order(("MUG-01", 11)), Idempotency_Key="k-1"), 409, "insufficient_stock")
    assert api.post("/orders", an_order(), Idempotency_Key="k-1").status_code == 201


def test_place_with_a_key_in_flight_is_told_to_ask_again(shop, api, mug):
    other = Redis.from_url(settings.CACHE_URL)
    with other.lock(f"lock:key:{shop.id}:k-1", timeout=30):
        response = api.post("/orders", an_order(), Idempotency_Key="k-1")
        problem = refused(response, 409, "idempotency_key_in_flight")
        assert (problem["idempotency_key"], response["Retry-After"]) == ("k-1", "1")
        assert api.post("/orders", an_order(), Idempotency_Key="k-2").status_code == 201
    assert api.post("/orders", an_order(), Idempotency_Key="k-1").status_code == 201


def test_keys_of_two_shops_are_two_keys(shop, api, mug):
    other = BusinessFactory()
    product(other)
    answers = [caller.post("/orders", an_order(), Idempotency_Key="k-1") for caller in (api, Caller(other))]
    assert [answer.status_code for answer in answers] == [201, 201]


def test_place_with_the_same_external_id_replays_or_is_refused(shop, api, mug):
    first = api.post("/orders", an_order(external_id="web-1"))
    again = api.post("/orders", an_order(external_id="web-1"))
    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["id"] == first.json()["id"]
    problem = refused(api.post("/orders", an_order(("MUG-01", 2), external_id="web-1")), 409, "external_id_taken")
    assert (problem["external_id"], problem["number"]) == ("web-1", first.json()["number"])
    elsewhere = api.post("/orders", an_order(external_id="web-1", channel="website"))
    assert elsewhere.status_code == 201
    assert on_shelf(shop) == (10, 2)


def test_place_the_same_cart_of_a_known_customer_twice_is_a_double_click(shop, api, mug):
    ada = {"name": "Ada", "phone": "+447700900123"}
    first = api.post("/orders", an_order(customer=ada)).json()
    problem = refused(api.post("/orders", an_order(customer=ada)), 409, "duplicate_order")
    assert (problem["order"], problem["number"]) == (first["id"], first["number"])
    assert api.post("/orders", an_order(customer=ada, external_id="one more")).status_code == 201


def test_place_without_redis_goes_on(shop, mug, redis_away):
    with pytest.raises(RedisError):
        cache.get("anything")
    api = Caller(shop)
    first = api.post("/orders", an_order(), Idempotency_Key="k-1")
    again = api.post("/orders", an_order(), Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert on_shelf(shop) == (10, 1)


# --- Reading, editing, cancelling ----------------------------------------------------------------


def test_read_shows_payments_shipments_and_ended_holds(shop, api, mug):
    order = order_in(shop, "shipped")
    body = api.get(f"/orders/{order.id}").json()
    [payment] = body["payments"]
    assert set(payment) == {"id", "kind", "provider", "reference", "amount", "currency", "at"}
    assert (payment["kind"], payment["amount"], payment["currency"]) == ("capture", "19.80", "GBP")
    [shipment] = body["shipments"]
    assert set(shipment) == {"id", "carrier", "tracking_number", "tracking_url", "shipped_at", "delivered_at"}
    assert (shipment["carrier"], shipment["delivered_at"]) == ("Royal Mail", None)
    [hold] = body["holds"]
    assert (hold["status"], hold["seconds_left"]) == ("converted", None)
    assert (body["status"], body["payment_due_at"]) == ("shipped", None)


def test_read_an_order_whose_time_is_over_has_no_seconds_left(shop, api, mug, now):
    order = place(shop, ("MUG-01", 1), now=now - WINDOW)
    assert api.get(f"/orders/{order.id}").json()["holds"][0]["seconds_left"] == 0
    verb("cancel", order, reason="too late")


def test_read_what_is_not_there(api):
    problem = refused(api.get(f"/orders/{UNKNOWN}"), 404, "order_not_found")
    assert problem["order"] == str(UNKNOWN)
    refused(api.get("/orders/not-a-uuid"), 404, "not_found")


def test_edit_moves_the_holds_by_the_difference(shop, api, mug):
    product(shop, "CUP-01", price="5.00")
    order = api.post("/orders", an_order(("MUG-01", 4), note="first", shipping_fee="2.00")).json()
    change = {"items": [{"sku": "MUG-01", "quantity": 1}, {"sku": "CUP-01", "quantity": 2}], "note": "second"}
    response = api.put(f"/orders/{order['id']}", change, If_Match=f'"{order["version"]}"')
    edited = response.json()
    assert (response.status_code, response["ETag"], edited["version"]) == (200, '"2"', 2)
    assert (edited["total"], edited["note"], edited["shipping_fee"]) == ("19.90", "second", "0.00")
    held = {hold["sku"]: hold["quantity"] for hold in edited["holds"] if hold["status"] == "active"}
    assert held == {"MUG-01": 1, "CUP-01": 2}
    assert (on_shelf(shop), on_shelf(shop, "CUP-01")) == ((10, 1), (10, 2))


def test_edit_counts_its_own_hold_as_available(shop, api, mug):
    order = api.post("/orders", an_order(("MUG-01", 10))).json()
    change = {"items": [{"sku": "MUG-01", "quantity": 9}]}
    assert api.put(f"/orders/{order['id']}", change).status_code == 200
    problem = refused(
        api.put(f"/orders/{order['id']}", {"items": [{"sku": "MUG-01", "quantity": 11}]}),
        409,
        "insufficient_stock",
    )
    assert (problem["items"][0]["requested"], problem["items"][0]["available"]) == (11, 10)
    assert on_shelf(shop) == (10, 9)


def test_edit_of_a_version_that_passed_is_refused(shop, api, mug):
    order = api.post("/orders", an_order()).json()
    change = {"items": [{"sku": "MUG-01", "quantity": 2}]}
    assert api.put(f"/orders/{order['id']}", change, If_Match='"1"').status_code == 200
    problem = refused(api.put(f"/orders/{order['id']}", change, If_Match='W/"1"'), 412, "version_changed")
    assert (problem["version"], problem["expected"]) == (2, 1)
    assert api.put(f"/orders/{order['id']}", change, If_Match="*").status_code == 200
    assert api.put(f"/orders/{order['id']}", change).json()["version"] == 4


@pytest.mark.parametrize("status", ["paid", "processing", "shipped", "delivered", "cancelled"])
def test_edit_after_payment_is_refused(shop, api, mug, status):
    order = order_in(shop, status)
    before = on_shelf(shop)
    response = api.put(f"/orders/{order.id}", {"items": [{"sku": "MUG-01", "quantity": 1}]})
    problem = refused(response, 409, "not_editable")
    assert problem["order_status"] == status
    assert on_shelf(shop) == before


def test_edit_after_the_time_to_pay_is_refused(shop, api, mug, now):
    order = place(shop, ("MUG-01", 1), now=now - WINDOW)
    response = api.put(f"/orders/{order.id}", {"items": [{"sku": "MUG-01", "quantity": 2}]})
    refused(response, 409, "payment_window_over")
    verb("cancel", order, reason="too late")


@pytest.mark.parametrize("status", ["draft", "pending", "paid", "processing"])
def test_cancel_gives_the_stock_back_and_may_be_asked_twice(shop, api, mug, status):
    order = order_in(shop, status)
    first = api.delete(f"/orders/{order.id}?reason=changed%20their%20mind")
    again = api.delete(f"/orders/{order.id}")
    assert (first.status_code, again.status_code) == (200, 200)
    assert (first.json()["status"], first.json()["cancel_reason"]) == ("cancelled", "changed their mind")
    assert again.json() == first.json()
    paid = status in ("paid", "processing")
    assert first.json()["payment_status"] == ("refund_due" if paid else "pending")
    assert on_shelf(shop) == (10, 0)


@pytest.mark.parametrize("status", ["shipped", "delivered"])
def test_cancel_what_has_left_the_house_is_refused(shop, api, mug, status):
    order = order_in(shop, status)
    problem = refused(api.delete(f"/orders/{order.id}"), 409, "illegal_transition")
    assert problem["order_status"] == status
    assert problem["allowed"] == (["delivered"] if status == "shipped" else [])
    assert on_shelf(shop) == (8, 0)


@pytest.mark.parametrize("reason", ["payment_timeout", "payment_failed"])
def test_cancel_with_a_reason_that_only_the_house_gives_is_refused(shop, api, mug, reason):
    order = order_in(shop, "pending")
    refused(api.delete(f"/orders/{order.id}?reason={reason}"), 400, "invalid_parameter")
    response = api.patch(f"/orders/{order.id}/status", {"status": "cancelled", "reason": reason})
    assert refused(response, 422, "invalid_request")["errors"][0]["field"] == "reason"
    order.refresh_from_db()
    assert order.status == "pending"


def test_timeline_tells_what_happened_who_did_it_and_when(shop, api, mug):
    order = order_in(shop, "delivered")
    response = api.get(f"/orders/{order.id}/events")
    events = response.json()["results"]
    assert set(events[0]) == {"version", "kind", "actor", "at", "facts"}
    assert [event["kind"] for event in events] == ["placed", "paid", "processing", "shipped", "delivered"]
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]
    assert {event["actor"] for event in events} == {"person:test"}
    assert events[1]["facts"]["amount"] == "19.80"
    page = api.get(f"/orders/{order.id}/events?limit=2&ordering=-version").json()
    assert [event["version"] for event in page["results"]] == [5, 4]
    assert [event["version"] for event in api.get(page["next"].split("testserver")[1]).json()["results"]] == [3, 2]


def test_timeline_names_the_key_that_was_used(shop, api, mug):
    order = api.post("/orders", an_order()).json()
    [event] = api.get(f"/orders/{order['id']}/events").json()["results"]
    assert event["actor"] == "key:Test"
    assert event["facts"] == {"channel": "whatsapp", "total": "9.90"}


def test_pay_counts_for_the_customer(shop, api, mug):
    order = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada", email="ada@example.com"))
    pay(order)
    [customer] = api.get("/customers?email=ADA@example.com").json()["results"]
    assert (customer["total_orders"], customer["total_spent"], customer["currency"]) == (1, "9.90", "GBP")
