"""What happens to an order after it was placed: status, payment, parcel, over the API."""

from datetime import datetime, timedelta

import pytest

from callers import Caller, an_order, everything_of, refused
from factories import BusinessFactory, on_shelf, order_in, place, product, verb
from orders.lifecycle import MAY_BECOME, Status
from orders.models import Order, Payment
from orders.services import expire_due

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

PARCEL = {"carrier": "Royal Mail", "tracking_number": "RM123GB"}
LATE = timedelta(minutes=16)


@pytest.fixture
def mug(shop):
    return product(shop)


def paid(amount="19.80", reference="TX-1", **more):
    return {"provider": "bank", "reference": reference, "amount": amount, **more}


# --- PATCH /orders/{id}/status ---------------------------------------------------------------------

LEGAL = [(status, to) for status, nexts in MAY_BECOME.items() for to in nexts]


@pytest.mark.parametrize(("status", "to"), LEGAL)
def test_move_by_the_table(shop, api, mug, status, to):
    order = order_in(shop, status)
    response = api.patch(f"/orders/{order.id}/status", {"status": to, **(PARCEL if to == "shipped" else {})})
    body = response.json()
    assert (response.status_code, body["status"], body["version"]) == (200, to, order.version + 1)
    assert response["ETag"] == f'"{body["version"]}"'
    sold, held = to in ("paid", "processing", "shipped", "delivered"), to == "pending"
    assert on_shelf(shop) == (8 if sold else 10, 2 if held else 0)


@pytest.mark.parametrize("status", list(Status))
def test_move_against_the_table_lists_the_legal_moves(shop, api, mug, status):
    order = order_in(shop, status)
    before = everything_of(shop)
    for to in set(Status) - {status, *MAY_BECOME[status]}:
        details = PARCEL if to == "shipped" else {}
        response = api.patch(f"/orders/{order.id}/status", {"status": to, **details})
        problem = refused(response, 409, "illegal_transition")
        assert (problem["order_status"], problem["requested"]) == (status, to)
        assert problem["allowed"] == [legal.value for legal in MAY_BECOME[status]]
        assert set(problem["last_change"]) == {"kind", "actor", "at"}
    assert everything_of(shop) == before


@pytest.mark.parametrize("status", list(Status))
def test_move_to_where_it_is_changes_nothing(shop, api, mug, status):
    order = order_in(shop, status)
    response = api.patch(
        f"/orders/{order.id}/status", {"status": status, **(PARCEL if status == "shipped" else {})}
    )
    assert response.status_code == 200
    # A parcel's details are set right.
    changes = 1 if status == "shipped" else 0
    assert (response.json()["status"], response.json()["version"]) == (status, order.version + changes)


def test_move_to_paid_by_hand_records_the_whole_amount(shop, api, mug):
    order = order_in(shop, "pending")
    [payment] = api.patch(f"/orders/{order.id}/status", {"status": "paid"}).json()["payments"]
    assert (payment["provider"], payment["reference"]) == ("hand", order.number)
    assert payment["amount"] == "19.80"


def test_move_to_shipped_without_details_names_what_is_missing(shop, api, mug):
    order = order_in(shop, "processing")
    response = api.patch(f"/orders/{order.id}/status", {"status": "shipped", "carrier": "Royal Mail"})
    assert refused(response, 422, "shipping_details_required")["missing"] == ["tracking_number"]


def test_move_to_cancelled_keeps_the_reason(shop, api, mug):
    order = order_in(shop, "paid")
    body = api.patch(f"/orders/{order.id}/status", {"status": "cancelled", "reason": "broken in the oven"}).json()
    assert (body["cancel_reason"], body["payment_status"]) == ("broken in the oven", "refund_due")
    [returned] = api.get(f"/stock-movements?kind=returned&order={order.id}").json()["results"]
    assert (returned["stock_delta"], returned["reason"]) == (2, "broken in the oven")


@pytest.mark.parametrize("status", ["", "payed", "PAID", None, 1, ["paid"]])
def test_move_to_no_status_lists_the_statuses(shop, api, mug, status):
    order = order_in(shop, "pending")
    [error] = refused(api.patch(f"/orders/{order.id}/status", {"status": status}), 422, "invalid_request")[
        "errors"
    ]
    assert error["field"] == "status"
    assert status is None or "draft, pending, paid, processing, shipped, delivered, cancelled" in error["message"]


# --- PATCH /orders/{id}/payment --------------------------------------------------------------------


def test_pay_sells_what_was_held(shop, api, mug):
    order = order_in(shop, "pending")
    response = api.patch(f"/orders/{order.id}/payment", paid())
    body = response.json()
    assert (response.status_code, body["status"], body["payment_status"]) == (200, "paid", "paid")
    assert body["payment_due_at"] is None
    [payment] = body["payments"]
    assert body["paid_at"] == payment["at"]
    assert [hold["status"] for hold in body["holds"]] == ["converted"]
    assert on_shelf(shop) == (8, 0)


def test_pay_twice_with_one_reference_is_one_payment(shop, api, mug):
    order = order_in(shop, "pending")
    first, again = [api.patch(f"/orders/{order.id}/payment", paid(status="paid", currency="GBP")) for _ in "12"]
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert Payment.objects.filter(order=order).count() == 1
    assert on_shelf(shop) == (8, 0)


@pytest.mark.parametrize(
    ("amount", "difference"), [("19.79", "-0.01"), ("19.81", "0.01"), ("0", "-19.80"), ("1980", "1960.20")]
)
def test_pay_too_little_or_too_much_says_by_how_much(shop, api, mug, amount, difference):
    order = order_in(shop, "pending")
    problem = refused(api.patch(f"/orders/{order.id}/payment", paid(amount)), 422, "payment_mismatch")
    assert (problem["expected"], problem["currency"]) == ("19.80", "GBP")
    assert problem["difference"] == difference
    assert (on_shelf(shop), Payment.objects.filter(order=order).count()) == ((10, 2), 0)


def test_pay_in_another_currency_is_refused(shop, api, mug):
    order = order_in(shop, "pending")
    problem = refused(api.patch(f"/orders/{order.id}/payment", paid(currency="USD")), 422, "currency_mismatch")
    assert (problem["currency"], problem["expected"]) == ("USD", "GBP")
    assert on_shelf(shop) == (10, 2)


@pytest.mark.parametrize(
    "told",
    [
        "paid",
        "refunded",
    ],
)
def test_pay_and_refund_in_the_currency_that_the_order_has(shop, api, mug, told):
    order = order_in(shop, "pending" if told == "paid" else "paid")
    type(shop).objects.filter(id=shop.id).update(currency="EUR")
    money = paid(reference="TX-2", status=told)
    response = api.patch(f"/orders/{order.id}/payment", {**money, "currency": "EUR"})
    assert refused(response, 422, "currency_mismatch")["expected"] == "GBP"
    body = api.patch(f"/orders/{order.id}/payment", {**money, "currency": "GBP"}).json()
    assert (body["payment_status"], body["payments"][-1]["currency"]) == (told, "GBP")


def test_pay_with_the_reference_of_another_order_is_refused(shop, api, mug):
    one, two = order_in(shop, "pending"), order_in(shop, "pending")
    api.patch(f"/orders/{one.id}/payment", paid())
    problem = refused(api.patch(f"/orders/{two.id}/payment", paid()), 409, "payment_reference_taken")
    assert (problem["provider"], problem["reference"], problem["number"]) == ("bank", "TX-1", one.number)
    refused(api.patch(f"/orders/{one.id}/payment", paid("1.00")), 409, "payment_reference_taken")


def test_pay_a_second_time_with_other_money_is_refused(shop, api, mug):
    order = order_in(shop, "pending")
    api.patch(f"/orders/{order.id}/payment", paid())
    problem = refused(api.patch(f"/orders/{order.id}/payment", paid(reference="TX-2")), 409, "already_paid")
    assert (problem["provider"], problem["reference"]) == ("bank", "TX-1")


def test_pay_a_draft_is_refused(shop, api, mug):
    order = order_in(shop, "draft")
    assert refused(api.patch(f"/orders/{order.id}/payment", paid()), 409, "illegal_transition")["allowed"] == [
        "pending",
        "cancelled",
    ]


def test_payment_that_failed_leaves_the_hold_until_another_attempt(shop, api, mug):
    order = order_in(shop, "pending")
    body = api.patch(f"/orders/{order.id}/payment", {"status": "failed", "reason": "card declined"}).json()
    assert (body["status"], body["payment_status"], on_shelf(shop)) == ("pending", "failed", (10, 2))
    assert api.patch(f"/orders/{order.id}/payment", paid()).json()["payment_status"] == "paid"


def test_payment_that_failed_for_good_frees_the_hold_at_once(shop, api, mug):
    order = order_in(shop, "pending")
    failed = {"status": "failed", "release": True}
    first, again = [api.patch(f"/orders/{order.id}/payment", failed) for _ in "12"]
    assert (first.status_code, again.status_code) == (200, 200)
    body = again.json()
    assert (body["status"], body["payment_status"], body["cancel_reason"]) == (
        "cancelled",
        "failed",
        "payment_failed",
    )
    assert on_shelf(shop) == (10, 0)


def test_payment_that_failed_of_a_paid_order_is_refused(shop, api, mug):
    order = order_in(shop, "paid")
    response = api.patch(f"/orders/{order.id}/payment", {"status": "failed"})
    assert refused(response, 409, "illegal_transition")["order_status"] == "paid"


def test_refund_in_parts_until_nothing_is_left(shop, api, mug):
    order = order_in(shop, "paid")
    part = api.patch(f"/orders/{order.id}/payment", paid("5.00", "RF-1", status="refunded")).json()
    again = api.patch(f"/orders/{order.id}/payment", paid("5.00", "RF-1", status="refunded")).json()
    assert (part["payment_status"], again) == ("partially_refunded", part)
    response = api.patch(f"/orders/{order.id}/payment", paid("14.81", "RF-2", status="refunded"))
    problem = refused(response, 422, "refund_too_large")
    assert (problem["amount"], problem["refundable"], problem["currency"]) == ("14.81", "14.80", "GBP")
    rest = api.patch(f"/orders/{order.id}/payment", paid("14.80", "RF-2", status="refunded")).json()
    assert (rest["status"], rest["payment_status"]) == ("paid", "refunded")
    assert [payment["kind"] for payment in rest["payments"]] == ["capture", "refund", "refund"]
    assert on_shelf(shop) == (8, 0)


def test_refund_of_another_currency_or_of_nothing_is_refused(shop, api, mug):
    order = order_in(shop, "paid")
    dollars = paid("5.00", "RF-1", status="refunded", currency="USD")
    refused(api.patch(f"/orders/{order.id}/payment", dollars), 422, "currency_mismatch")
    refused(
        api.patch(f"/orders/{order.id}/payment", paid("0", "RF-1", status="refunded")), 422, "refund_too_large"
    )
    unpaid = order_in(shop, "pending")
    refused(api.patch(f"/orders/{unpaid.id}/payment", paid("1", "RF", status="refunded")), 422, "refund_too_large")
    assert not Payment.objects.filter(order=order, kind="refund").exists()


def test_pay_late_takes_the_goods_again_while_they_are_there(shop, api, mug, now):
    order = place(shop, ("MUG-01", 2), now=now - LATE)
    assert expire_due(business_id=shop.id, now=now) == 1
    assert api.get(f"/orders/{order.id}").json()["cancel_reason"] == "payment_timeout"
    body = api.patch(f"/orders/{order.id}/payment", paid()).json()
    assert (body["status"], body["payment_status"], body["cancel_reason"]) == ("paid", "paid", "")
    events = api.get(f"/orders/{order.id}/events").json()["results"]
    assert [event["kind"] for event in events] == ["placed", "expired", "paid_late"]
    assert on_shelf(shop) == (8, 0)


def test_pay_late_for_goods_that_are_gone_is_kept_as_refund_due(shop, api, mug, now):
    order = place(shop, ("MUG-01", 2), now=now - LATE)
    expire_due(business_id=shop.id, now=now)
    place(shop, ("MUG-01", 9), now=now)
    response = api.patch(f"/orders/{order.id}/payment", paid())
    body = response.json()
    assert (response.status_code, body["status"], body["payment_status"]) == (200, "cancelled", "refund_due")
    assert body["payments"][0]["amount"] == "19.80"
    back = api.patch(f"/orders/{order.id}/payment", paid("19.80", "RF", status="refunded")).json()
    assert (back["status"], back["payment_status"]) == ("cancelled", "refunded")
    assert on_shelf(shop) == (10, 9)


def test_pay_without_its_particulars_names_them(shop, api, mug):
    order = order_in(shop, "pending")
    for status in ({}, {"status": "paid"}, {"status": "refunded"}):
        problem = refused(api.patch(f"/orders/{order.id}/payment", status), 422, "invalid_request")
        assert [error["field"] for error in problem["errors"]] == ["amount", "provider", "reference"]
    assert Order.objects.get(id=order.id).version == 1


# --- PATCH /orders/{id}/shipping -------------------------------------------------------------------


def test_ship_a_paid_order_processes_it_too(shop, api, mug):
    order = order_in(shop, "paid")
    body = api.patch(
        f"/orders/{order.id}/shipping", {**PARCEL, "tracking_url": "https://example.com/RM123GB"}
    ).json()
    assert body["status"] == "shipped"
    [shipment] = body["shipments"]
    assert (shipment["carrier"], shipment["tracking_number"]) == ("Royal Mail", "RM123GB")
    assert (shipment["tracking_url"], shipment["delivered_at"]) == ("https://example.com/RM123GB", None)
    events = api.get(f"/orders/{order.id}/events").json()["results"]
    assert [event["kind"] for event in events][-2:] == ["processing", "shipped"]
    assert on_shelf(shop) == (8, 0)


@pytest.mark.parametrize(
    ("details", "missing"),
    [
        ({}, ["carrier", "tracking_number"]),
        ({"carrier": "Royal Mail"}, ["tracking_number"]),
        ({"tracking_number": "RM1"}, ["carrier"]),
        ({"shipped_at": "2026-01-01T00:00:00Z"}, ["carrier", "tracking_number"]),
    ],
)
def test_ship_without_details_names_what_is_missing(shop, api, mug, details, missing):
    order = order_in(shop, "paid")
    problem = refused(api.patch(f"/orders/{order.id}/shipping", details), 422, "shipping_details_required")
    assert problem["missing"] == missing
    order.refresh_from_db()
    assert (order.status, order.version) == ("paid", 2)


def test_ship_again_sets_the_details_right(shop, api, mug):
    order = order_in(shop, "processing")
    first = api.patch(f"/orders/{order.id}/shipping", PARCEL).json()
    same = api.patch(f"/orders/{order.id}/shipping", PARCEL).json()
    other = api.patch(f"/orders/{order.id}/shipping", {**PARCEL, "tracking_number": "RM999GB"}).json()
    assert same["version"] == first["version"] == other["version"] - 1
    assert [shipment["tracking_number"] for shipment in other["shipments"]] == ["RM999GB"]
    assert api.get("/orders?search=rm999").json()["results"][0]["id"] == str(order.id)


def test_ship_told_again_without_the_url_keeps_it(shop, api, mug):
    order = order_in(shop, "processing")
    url = "https://example.com/RM123GB"
    api.patch(f"/orders/{order.id}/shipping", {**PARCEL, "tracking_url": url})
    [shipment] = api.patch(f"/orders/{order.id}/shipping", PARCEL).json()["shipments"]
    assert shipment["tracking_url"] == url


def test_deliver_at_the_times_that_the_carrier_tells(shop, api, mug, now):
    order = order_in(shop, "paid", now=now - timedelta(days=3))
    left, arrived = now - timedelta(days=2), now - timedelta(days=1)
    times = {"shipped_at": left.isoformat(), "delivered_at": arrived.isoformat()}
    body = api.patch(f"/orders/{order.id}/shipping", {**PARCEL, **times}).json()
    assert body["status"] == "delivered"
    [shipment] = body["shipments"]
    assert datetime.fromisoformat(shipment["shipped_at"]) == left
    assert datetime.fromisoformat(shipment["delivered_at"]) == arrived


def test_deliver_again_stays_as_it_is(shop, api, mug):
    order = order_in(shop, "shipped")
    shipped_at = order.shipments.get().shipped_at.isoformat()
    first, again = [api.patch(f"/orders/{order.id}/shipping", {"delivered_at": shipped_at}).json() for _ in "12"]
    assert first["status"] == "delivered"
    assert again == first


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ({"shipped_at": "2999-01-01T00:00:00Z"}, "in_the_future"),
        ({"delivered_at": "2999-01-01T00:00:00Z"}, "in_the_future"),
        ({"shipped_at": "1999-01-01T00:00:00Z"}, "too_early"),
        ({"delivered_at": "1999-01-01T00:00:00Z"}, "too_early"),
    ],
)
def test_ship_at_a_time_that_can_not_be_is_refused(shop, api, mug, times, code):
    order = order_in(shop, "paid")
    problem = refused(api.patch(f"/orders/{order.id}/shipping", {**PARCEL, **times}), 422, "invalid_request")
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [(next(iter(times)), code)]
    order.refresh_from_db()
    assert (order.status, order.shipments.count()) == ("paid", 0)


@pytest.mark.parametrize("status", ["draft", "pending", "cancelled"])
def test_ship_what_is_not_paid_is_refused(shop, api, mug, status):
    order = order_in(shop, status)
    problem = refused(api.patch(f"/orders/{order.id}/shipping", PARCEL), 409, "illegal_transition")
    assert problem["order_status"] == status
    problem = refused(
        api.patch(f"/orders/{order.id}/shipping", {"delivered_at": "2026-01-01T00:00:00Z"}),
        409,
        "illegal_transition",
    )
    assert problem["requested"] == "delivered"


def test_move_an_order_of_another_shop_finds_none(shop, api, mug):
    theirs = BusinessFactory()
    product(theirs)
    order = order_in(theirs, "pending")
    moves = [
        api.put(f"/orders/{order.id}", {"items": [{"sku": "MUG-01", "quantity": 1}]}),
        api.patch(f"/orders/{order.id}/status", {"status": "cancelled"}),
        api.patch(f"/orders/{order.id}/payment", paid()),
        api.patch(f"/orders/{order.id}/payment", {"status": "failed", "release": True}),
        api.patch(f"/orders/{order.id}/payment", paid(status="refunded")),
        api.patch(f"/orders/{order.id}/shipping", PARCEL),
        api.delete(f"/orders/{order.id}"),
        api.get(f"/orders/{order.id}"),
        api.get(f"/orders/{order.id}/events"),
    ]
    for move in moves:
        refused(move, 404, "order_not_found")
    order.refresh_from_db()
    assert (order.status, order.version, on_shelf(theirs)) == ("pending", 1, (10, 2))
    verb("cancel", order, reason="done")


def test_pay_with_a_key_of_another_shop_does_not_touch_its_references(shop, mug):
    theirs = BusinessFactory()
    product(theirs)
    for business in (shop, theirs):
        order = order_in(business, "pending")
        assert Caller(business).patch(f"/orders/{order.id}/payment", paid()).json()["status"] == "paid"


def test_place_and_pay_nothing_for_a_gift(shop, api, mug):
    order = api.post("/orders", an_order(discount="9.90")).json()
    body = api.patch(f"/orders/{order['id']}/payment", paid("0.00")).json()
    assert (body["total"], body["status"], body["payments"][0]["amount"]) == ("0.00", "paid", "0.00")
