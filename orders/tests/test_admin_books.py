"""The books in the back office: holds, the ledger, events and payments, to be read, narrowed and taken out."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Business, Membership, StockMovement
from catalog.services import adjust_stock
from factories import ACTOR, BusinessFactory, order_in, pay, place, product, verb
from orders.models import OrderEvent, Payment
from orders.tests.staff import read, rows, signed_in
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db")

LEDGER = "/admin/catalog/stockmovement/"
HOLDS = "/admin/reservations/stockreservation/"
EVENTS = "/admin/orders/orderevent/"
PAYMENTS = "/admin/orders/payment/"

FILES = {LEDGER: "ledger", HOLDS: "reservations", EVENTS: "events", PAYMENTS: "payments"}
MODELS: dict[str, Any] = {
    LEDGER: StockMovement,
    HOLDS: StockReservation,
    EVENTS: OrderEvent,
    PAYMENTS: Payment,
}
each_book = pytest.mark.parametrize("book", FILES)


def found(client: Client, book: str, query: str = "") -> list[Any]:
    response = client.get(f"{book}?{query}")
    read(response)
    return list(response.context["cl"].result_list)


def test_filters_and_search_of_the_ledger(shop: Business) -> None:
    mug = product(shop, stock=5)
    product(shop, "CUP-01", stock=3)
    place(shop, ("MUG-01", 2))
    adjust_stock(
        business_id=shop.id, product_id=mug.id, delta=-1, reason="-broken", actor=ACTOR, now=mug.created_at
    )
    client = signed_in(shop)

    def kinds(query: str) -> set[tuple[str, str]]:
        return {(line.product.sku, line.kind) for line in found(client, LEDGER, query)}

    assert kinds("kind__exact=reserved&kind__exact=adjusted") == {("MUG-01", "reserved"), ("MUG-01", "adjusted")}
    assert kinds("q=cup") == {("CUP-01", "opening")}
    assert kinds("q=nothing") == set()
    assert len(kinds("")) == 4
    day = f"{mug.created_at:%Y-%m-%d}"
    assert len(kinds(f"at_from={day}&at_to={day}")) == 4
    (row,) = rows(client.get(f"{LEDGER}export/ledger/?kind__exact=adjusted"))
    assert (row["sku"], row["stock_delta"], row["reason"]) == ("MUG-01", "-1", "'-broken")


def test_filters_and_search_of_holds(shop: Business) -> None:
    product(shop)
    product(shop, "CUP-01")
    live = place(shop, ("MUG-01", 2))
    sold = order_in(shop, "paid", ("CUP-01", 1))
    client = signed_in(shop)

    def of(query: str) -> list[Any]:
        return [hold.order_id for hold in found(client, HOLDS, query)]

    assert of("status__exact=active") == [live.id]
    assert of("status__exact=converted&status__exact=expired") == [sold.id]
    assert of("q=mug-01") == [live.id]
    assert of("") == [sold.id, live.id]
    assert [row["sku"] for row in rows(client.get(f"{HOLDS}export/reservations/?q=cup"))] == ["CUP-01"]


def test_filters_and_search_of_events(shop: Business) -> None:
    product(shop)
    one, two = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 2))
    verb("cancel", two, reason="=cmd()")
    client = signed_in(shop)

    def of(query: str) -> set[tuple[str, str]]:
        return {(event.order.number, event.kind) for event in found(client, EVENTS, query)}

    assert of("kind__exact=cancelled") == {(two.number, "cancelled")}
    assert of(f"q={one.number.lower()}") == {(one.number, "placed")}
    assert len(of("")) == 3
    (row,) = rows(client.get(f"{EVENTS}export/events/?kind__exact=cancelled"))
    assert (row["order"], row["actor"]) == (two.number, ACTOR)


def test_filters_and_search_of_payments(shop: Business) -> None:
    product(shop, price="5.00")
    one, two = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 2))
    pay(one, reference="@TX-1")
    pay(two, reference="TX-2")
    verb("record_refund", two, provider="bank", reference="R-2", amount=two.total)
    client = signed_in(shop)

    def of(query: str) -> set[str]:
        return {payment.reference for payment in found(client, PAYMENTS, query)}

    assert of("kind__exact=refund") == {"R-2"}
    assert of("q=TX-2") == {"TX-2"}
    assert of(f"q={two.number}") == {"TX-2", "R-2"}
    assert of("amount_to=5") == {"@TX-1"}
    (row,) = rows(client.get(f"{PAYMENTS}export/payments/?amount_to=5"))
    assert (row["order"], row["reference"], row["amount"]) == (one.number, "'@TX-1", "5.00")


@pytest.mark.slow
@each_book
def test_book_asks_as_much_for_one_row_as_for_thirty(shop: Business, book: str) -> None:
    client = signed_in(shop)
    asked = []
    for length in (1, 29):
        for number in range(length):
            product(shop, f"SKU-{length}-{number}", stock=0)
            product(shop, f"MUG-{length}-{number}", stock=1)
            pay(place(shop, (f"MUG-{length}-{number}", 1)))
        read(client.get(book))
        with CaptureQueriesContext(connection) as queries:
            found(client, book, "q=nothing")
            on_page = len(found(client, book))
        asked.append((on_page, len(queries)))
    assert asked[0][0] <= 3 < 29 <= asked[1][0]
    assert asked[0][1] == asked[1][1]


@each_book
def test_book_is_read_and_nothing_else(shop: Business, book: str) -> None:
    product(shop)
    pay(place(shop, ("MUG-01", 1)))
    row = MODELS[book].objects.filter(business=shop).first()
    client = signed_in(shop)
    page = read(client.get(f"{book}{row.pk}/change/"))
    assert 'name="_save"' not in page
    assert client.post(f"{book}{row.pk}/change/", {"actor": "me"}).status_code == 403
    assert client.post(f"{book}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{book}add/").status_code == 403
    assert "action-toggle" not in read(client.get(book))


@pytest.mark.slow
@each_book
def test_book_of_another_business_is_not_there(shop: Business, book: str) -> None:
    product(shop)
    pay(place(shop, ("MUG-01", 1)))
    row = MODELS[book].objects.filter(business=shop).first()
    other = signed_in(BusinessFactory())
    assert other.get(f"{book}{row.pk}/change/").status_code == 404
    assert found(other, book) == []
    assert rows(other.get(f"{book}export/{FILES[book]}/")) == []


@each_book
@pytest.mark.parametrize("role", [Membership.Role.PACKER, Membership.Role.VIEWER])
def test_book_is_read_by_all_and_taken_out_by_few(shop: Business, book: str, role: str) -> None:
    client = signed_in(shop, role)
    page = read(client.get(book))
    assert "Download CSV" not in page
    assert client.get(f"{book}export/{FILES[book]}/").status_code == 403


@each_book
def test_book_is_called_as_beside_it(shop: Business, book: str) -> None:
    product(shop)
    pay(place(shop, ("MUG-01", 1)))
    title = FILES[book].capitalize()
    page = read(signed_in(shop).get(book))
    assert f">{title}</a>" in page.split("<h1")[1].split("</h1>")[0]
    assert f"<title> {title}" in " ".join(page.split())


@each_book
def test_empty_book_says_what_will_be_in_it(shop: Business, book: str) -> None:
    page = read(signed_in(shop).get(book))
    assert "hf-empty" in page
    assert "No results found" not in page


def test_newest_line_is_at_the_top_unless_turned_round(shop: Business) -> None:
    mug = product(shop, stock=5)
    line = {"business_id": shop.id, "product_id": mug.id, "actor": ACTOR, "reason": "counted"}
    for days in (1, 2):
        adjust_stock(**line, delta=days, now=mug.created_at + timedelta(days=days))
    client = signed_in(shop)
    assert [movement.stock_delta for movement in found(client, LEDGER)] == [2, 1, 5]
    assert [movement.stock_delta for movement in found(client, LEDGER, "o=0")] == [5, 1, 2]
