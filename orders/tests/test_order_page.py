"""An order's page: what it says of an order, to whom."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Business, Membership
from customers.services import Buyer
from factories import BusinessFactory, order_in, pay, place, product, verb
from orders.lifecycle import Status
from orders.models import Order, Shipment
from orders.services import Edit, Line
from orders.tests.staff import read, signed_in

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role


def page_of(order: Order, client: Client) -> str:
    return read(client.get(f"/staff/orders/{order.id}/"))


def words_of(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


# --- What it says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.DRAFT, "A draft: it holds nothing yet"),
        (Status.PENDING, "Waits for £19.80"),
        (Status.PAID, "Paid: pack it"),
        (Status.PROCESSING, "Being packed: send it"),
        (Status.SHIPPED, "On its way since"),
        (Status.DELIVERED, "Delivered: nothing is left to do"),
        (Status.CANCELLED, "Cancelled: changed their mind"),
    ],
)
def test_page_says_what_is_to_be_done(shop: Business, status: str, said: str) -> None:
    product(shop)
    assert said in words_of(page_of(order_in(shop, status), signed_in(shop)))


def test_page_of_money_that_must_go_back_says_how_much(shop: Business) -> None:
    product(shop)
    order = order_in(shop, Status.PAID)
    verb("record_refund", order, provider="bank", reference="BACK-1", amount=Decimal("5.00"))
    verb("cancel", order, reason="broken")
    page = words_of(page_of(order, signed_in(shop)))
    assert "£14.80 must go back to the customer" in page
    assert "Paid £19.80 Refunded £5.00 Owed to the customer £14.80" in page


def test_page_of_a_hold_whose_time_is_over_says_so(shop: Business, now: datetime) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1), now=now - timedelta(minutes=16))
    response = signed_in(shop).get(f"/staff/orders/{order.id}/")
    assert "Its time to be paid is over" in read(response)
    assert response.context["offered"] == {"pay", "cancel", "note"}


def test_page_shows_the_prices_of_the_day(shop: Business) -> None:
    mug = product(shop, price="9.90")
    order = place(shop, ("MUG-01", 2), shipping_fee=Decimal("3.50"), discount=Decimal(1))
    mug.price = Decimal(20)
    mug.save(update_fields=["price"])
    page = page_of(order, signed_in(shop))
    assert "£9.90 £19.80" in words_of(page)
    assert "Goods £19.80 Shipping £3.50 Discount −£1.00 Total £22.30" in words_of(page)
    assert f"/staff/products/{mug.id}/?business={shop.slug}" in page


def test_page_shows_the_customer_and_their_other_orders(shop: Business) -> None:
    product(shop)
    buyer = Buyer(name="Ada", phone="+447700900123")
    first = place(shop, ("MUG-01", 1), buyer=buyer)
    pay(first)
    page = page_of(place(shop, ("MUG-01", 2), buyer=buyer), signed_in(shop))
    assert first.number in page
    assert "Orders kept 1 Spent £9.90" in words_of(page)
    assert "+447700900123" in page


def test_timeline_tells_one_act_once(shop: Business) -> None:
    product(shop)
    product(shop, "CUP-01", price="1.00")
    order = place(shop, ("MUG-01", 2))
    verb("edit", order, change=Edit(lines=(Line("MUG-01", 1), Line("CUP-01", 3))))
    verb("add_note", order, text="Ring twice")
    pay(order, reference="TX-77", amount=Decimal("12.90"))
    verb("record_shipping", order, carrier="DHL", tracking_number="JD01")
    verb("deliver", order)
    entries = signed_in(shop).get(f"/staff/orders/{order.id}/").context["timeline"]
    assert [[" ".join(filter(None, line[:2])) for line in entry.lines] for entry in reversed(entries)] == [
        ["Placed on WhatsApp It comes to £19.80", "Held: 2 × MUG-01"],
        ["Edited MUG-01 2 → 1, CUP-01 0 → 3. It comes to £12.90", "Held: 3 × CUP-01", "Released: 1 × MUG-01"],
        ["Note Ring twice"],
        ["Paid £12.90 By bank TX-77", "Sold: 1 × MUG-01, 3 × CUP-01"],
        ["Being packed", "Shipped DHL JD01"],
        ["Delivered"],
    ]


@pytest.mark.parametrize("late", [False, True])
def test_timeline_tells_what_became_of_a_hold(shop: Business, now: datetime, late: bool) -> None:
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2), now=now - timedelta(minutes=16))
    if late:  # somebody else has them by now
        place(shop, ("MUG-01", 2))
        pay(order)
    else:
        verb("cancel", order, reason="changed their mind")
    page = words_of(page_of(order, signed_in(shop)))
    if late:
        assert "Time was over, released: 2 × MUG-01" in page
        assert "Paid £19.80 too late to have the goods: the money is to go back" in page
    else:
        assert "Cancelled changed their mind Released: 2 × MUG-01" in page


def test_page_writes_out_what_people_typed(shop: Business) -> None:
    product(shop, name="Mug <b>bold</b>")
    evil = "<script>alert(1)</script>"
    order = place(shop, ("MUG-01", 1), buyer=Buyer(name=evil), note=evil, shipping_address={"text": evil})
    verb("add_note", order, text=evil)
    verb("cancel", order, reason=evil)
    page = page_of(order, signed_in(shop))
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5
    assert "Mug &lt;b&gt;bold" in page


@pytest.mark.parametrize(
    ("address", "is_link"),
    [("https://track.example/RM1", True), ("javascript:alert(1)", False), ("ftp://track.example/RM1", False)],
)
def test_parcel_links_to_web_addresses_only(shop: Business, address: str, is_link: bool) -> None:
    product(shop)
    order = order_in(shop, Status.SHIPPED)
    Shipment.objects.filter(order=order).update(tracking_url=address)
    page = page_of(order, signed_in(shop))
    assert "RM1GB" in page
    assert (f'href="{address}"' in page) == is_link


def test_page_of_another_business_s_order_is_missing(shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(BusinessFactory())
    for address in ("", "pay/", "cancel/"):
        assert client.get(f"/staff/orders/{order.id}/{address}").status_code == 404
        assert client.post(f"/staff/orders/{order.id}/{address}", {"version": "1"}).status_code == 404
    assert client.get(f"/staff/orders/{order.id}/?business={shop.slug}").status_code == 404


@pytest.mark.slow
def test_page_asks_as_often_for_many_lines_as_for_one(shop: Business) -> None:
    for n in range(30):
        product(shop, f"MUG-{n}", stock=100)
    few, many = place(shop, ("MUG-0", 1)), place(shop, *((f"MUG-{n}", 1) for n in range(30)))
    client = signed_in(shop)
    counts = []
    for order in (few, few, many):  # the first of them also looks up what stays known
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page_of(order, client)
        counts.append(len(queries))
    assert counts[1] == counts[2]


# --- Who may do what ---------------------------------------------------------------------------

ALL = {"submit", "pay", "process", "ship", "correct", "deliver", "extend", "edit", "refund", "cancel", "note"}

OFFERED = {
    Status.DRAFT: {"submit", "edit", "cancel", "note"},
    Status.PENDING: {"pay", "extend", "edit", "cancel", "note"},
    Status.PAID: {"process", "ship", "refund", "cancel", "note"},
    Status.PROCESSING: {"ship", "refund", "cancel", "note"},
    Status.SHIPPED: {"correct", "deliver", "refund", "note"},
    Status.DELIVERED: {"refund", "note"},
    Status.CANCELLED: {"pay", "note"},
}
MAY: dict[str, set[str]] = {
    Role.OWNER: ALL,
    Role.MANAGER: ALL,
    Role.PACKER: {"process", "ship", "correct", "deliver"},
    Role.VIEWER: set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("status", Status.values)
def test_page_offers_what_can_be_done_by_who_looks(shop: Business, status: Status, role: str) -> None:
    product(shop)
    order = order_in(shop, status)
    response = signed_in(shop, role).get(f"/staff/orders/{order.id}/")
    assert response.context["offered"] == OFFERED[status] & MAY[role]
    forms = set(re.findall(rf'action="/staff/orders/{order.id}/(\w+)/', read(response)))
    assert forms == OFFERED[status] & MAY[role]


@pytest.mark.parametrize("role", Role.values)
def test_act_is_refused_to_who_may_not(shop: Business, role: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop, role)
    for act in ALL - MAY[role]:
        response = client.post(f"/staff/orders/{order.id}/{act}/", {"version": "1", "text": "x", "reason": "x"})
        assert response.status_code == 403, act
    order.refresh_from_db()
    assert order.version == 1


def test_act_needs_a_token(shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop)
    client.handler.enforce_csrf_checks = True
    for act in ALL:
        assert client.post(f"/staff/orders/{order.id}/{act}/", {"version": "1"}).status_code == 403
