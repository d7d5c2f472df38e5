"""The list of orders in the back office: what it can be narrowed by, what it says, and what it gives away."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog import back_office
from catalog.models import Business, Membership
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, order_in, pay, place, placement, product, verb
from orders import services
from orders.admin.orders import OrderAdmin
from orders.models import BulkRun, Order, Payment
from orders.tests.staff import read, rows, signed_in

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role

LIST = "/admin/orders/order/"
DAY = timedelta(days=1)


def found(client: Client, query: dict[str, Any] | str = "") -> list[str]:
    """The numbers of the orders on the page, from the top."""
    response = client.get(f"{LIST}?{query if isinstance(query, str) else urlencode(query)}")
    read(response)
    return [order.number for order in response.context["cl"].result_list]


def numbers(*orders: Order) -> list[str]:
    return [order.number for order in orders]


# --- What it can be narrowed by -----------------------------------------------------------------


@pytest.mark.slow
def test_needs_find_just_the_orders_that_need_a_hand(shop: Business, now: datetime) -> None:
    product(shop, stock=100)
    minute = timedelta(minutes=1)
    waiting = place(shop, ("MUG-01", 1), now=now - minute)
    expiring = place(shop, ("MUG-01", 2), now=now - 13 * minute)
    overdue = place(shop, ("MUG-01", 3), now=now - 20 * minute)
    to_pack = order_in(shop, "paid", ("MUG-01", 4), now=now - 5 * DAY)
    packed_long = order_in(shop, "processing", ("MUG-01", 5), now=now - 4 * DAY)
    packed_now = order_in(shop, "processing", ("MUG-01", 6), now=now - DAY)
    order_in(shop, "shipped", ("MUG-01", 7), now=now - 9 * DAY)
    owed = verb("cancel", order_in(shop, "paid", ("MUG-01", 8), now=now), reason="broken", now=now)
    client = signed_in(shop)
    needs = {
        "expiring": [expiring],
        "overdue": [overdue],
        "to_pack": [to_pack],
        "no_tracking": [packed_long],
        "refund_due": [owed],
        "paid_late": [],
        "pending_but_paid": [],
    }
    assert {name: found(client, {"needs": name}) for name in needs} == {
        name: numbers(*orders) for name, orders in needs.items()
    }
    late = place(shop, ("MUG-01", 9), now=now - 3 * DAY)
    services.expire_due(business_id=shop.id, now=now - 2 * DAY)
    pay(late, now=now - 2 * DAY)
    assert found(client, {"needs": "paid_late"}) == numbers(late)
    assert found(client, {"needs": "to_pack"}) == numbers(late, to_pack)
    assert set(found(client)) > set(numbers(waiting, packed_now))


def test_money_that_no_order_knows_of_is_found(shop: Business, now: datetime) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    money: dict[str, Any] = {
        "business": shop,
        "order": order,
        "currency": "GBP",
        "kind": "capture",
        "actor": ACTOR,
    }
    Payment.objects.create(provider="bank", reference="1", amount=Decimal(5), at=now, **money)
    assert found(signed_in(shop), {"needs": "pending_but_paid"}) == [order.number]


@pytest.mark.slow
def test_filters_narrow_and_go_together(shop: Business) -> None:
    product(shop, price="10.00")
    product(shop, "CUP-01", price="4.00")
    draft = order_in(shop, "draft", ("CUP-01", 1))
    pending = place(shop, ("CUP-01", 2), channel="website")
    paid = order_in(shop, "paid", ("MUG-01", 1))
    client = signed_in(shop)
    assert found(client, "status__exact=draft&status__exact=paid") == numbers(paid, draft)
    assert found(client, "payment_status__exact=paid") == numbers(paid)
    assert found(client, "channel__exact=website") == numbers(pending)
    assert found(client, "sku=CUP-01") == numbers(pending, draft)
    assert found(client, "sku=CUP-01&status__exact=pending") == numbers(pending)
    assert found(client, "total_from=4&total_to=8") == numbers(pending, draft)
    assert found(client, "total_from=8.01") == numbers(paid)
    assert found(client, f"customer={paid.customer_id}") == numbers(paid)
    assert found(client, "sku=NONE") == []
    assert found(client, "sku=cup-01") == numbers(pending, draft)


def test_list_of_one_customer_says_whose_it_is(shop: Business) -> None:
    product(shop)
    ada = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada Obi")).customer
    other = BusinessFactory()
    product(other)
    theirs = place(other, ("MUG-01", 1), buyer=Buyer(name="Stranger")).customer
    client = signed_in(shop)
    page = read(client.get(LIST, {"customer": str(ada.pk), "channel__exact": "whatsapp"}))
    assert f'Only those of <a href="/staff/customers/{ada.pk}/">Ada Obi</a>' in page
    assert '<a href="?channel__exact=whatsapp">× All orders</a>' in page
    for query in ({}, {"customer": str(theirs.pk)}):
        page = read(client.get(LIST, query))
        assert "Only those of" not in page
        assert "Stranger" not in page


def test_days_are_those_of_the_business(now: datetime) -> None:
    shop = BusinessFactory(time_zone="America/New_York")
    product(shop)
    evening = place(shop, ("MUG-01", 1), now=datetime(2026, 3, 2, 4, 59, tzinfo=UTC))  # 1 March, 23:59
    night = place(shop, ("MUG-01", 2), now=datetime(2026, 3, 2, 5, 0, tzinfo=UTC))
    client = signed_in(shop)
    assert found(client, "created_at_to=2026-03-01") == numbers(evening)
    assert found(client, "created_at_from=2026-03-02") == numbers(night)
    assert found(client, "created_at_from=2026-03-01&created_at_to=2026-03-02") == numbers(night, evening)


@pytest.mark.parametrize(
    "query",
    [
        "needs=everything",
        "status__exact=lost",
        "created_at_from=yesterday",
        "created_at_to=9999-12-31",
        "total_from=much",
        "total_from=NaN",
        "q=%00",
        "sku=%00",
        "note__regex=(a%2B)%2B$",
        "customer__email__startswith=a",
        "total=5",
        "nothing=1",
    ],
)
def test_what_is_no_filter_is_not_there(shop: Business, query: str) -> None:
    client = signed_in(shop)
    assert client.get(f"{LIST}?{query}").status_code == 404
    assert client.get(f"{LIST}export/orders/?{query}").status_code == 404


def test_search_finds_what_people_know_of_an_order(shop: Business) -> None:
    product(shop)
    buyer = Buyer(name="Grace Hopper", phone="+447700900123", email="grace@example.com")
    graces = place(shop, ("MUG-01", 1), buyer=buyer)
    sent = order_in(shop, "shipped", ("MUG-01", 1))
    client = signed_in(shop)
    for words in (graces.number[:10], "hopper", "900123", "grace@", f" {graces.number.lower()} "):
        assert graces.number in found(client, {"q": words}), words
    assert found(client, {"q": "rm1g"}) == numbers(sent)
    assert found(client, {"q": "mug-01"}) == numbers(sent, graces)
    assert found(client, {"q": "g"}) == []


# --- What it says -------------------------------------------------------------------------------


def test_row_says_how_an_order_stands(shop: Business, now: datetime) -> None:
    product(shop, price="1234.50")
    order = place(shop, ("MUG-01", 1), buyer=Buyer(name="<b>Ada</b>"), now=now)
    page = read(signed_in(shop).get(LIST))
    assert f'href="/staff/orders/{order.id}/"' in page
    for said in (
        "&lt;b&gt;Ada&lt;/b&gt;",
        "WhatsApp",
        "£1,234.50",
        'hf-held">Pending<',
        "data-countdown",
        "data-ago",
    ):
        assert said in page, said


def test_list_without_rows_says_why(shop: Business) -> None:
    client = signed_in(shop)
    assert "They appear here when someone buys" in read(client.get(LIST))
    assert "No order fits the filters" in read(client.get(LIST, {"needs": "overdue"}))
    assert "No order fits “&lt;nobody&gt;”" in read(client.get(LIST, {"q": "<nobody>"}))


def test_filters_say_whether_any_is_set(shop: Business) -> None:
    client = signed_in(shop)
    query = "q=&sku=&total_from=&created_at_to="
    set_by = {asked: client.get(f"{LIST}?{asked}").context["cl"].is_filtered for asked in ("", query, "sku=A")}
    assert set_by == {"": False, query: False, "sku=A": True}


def test_count_is_bounded_and_says_so(shop: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    product(shop)
    for _ in range(4):
        place(shop, ("MUG-01", 1), buyer=Buyer(name=f"Buyer {_}"))
    client = signed_in(shop)
    assert ">4 orders<" in read(client.get(LIST))
    monkeypatch.setattr(back_office, "MOST_COUNTED", 3)
    assert ">3+ orders<" in read(client.get(LIST))


def test_orders_are_sorted_as_asked(shop: Business) -> None:
    product(shop, price="1.00")
    dear, cheap, same = (place(shop, ("MUG-01", units)) for units in (3, 1, 3))
    client = signed_in(shop)
    by_total = client.get(LIST).context["cl"].list_display.index("amount")
    assert found(client) == numbers(same, cheap, dear)
    assert found(client, {"o": f"-{by_total}"}) == numbers(same, dear, cheap)
    assert found(client, {"o": by_total}) == numbers(cheap, dear, same)


def test_page_after_the_last_is_the_last(shop: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderAdmin, "list_per_page", 1)
    product(shop)
    first, last = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 2))
    client = signed_in(shop)
    shown = [found(client, {"p": page}) for page in ("7", "99999999999999999999", "-1")]
    assert shown == [numbers(first), numbers(first), numbers(last)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "query", ["", "q=Buyer", "needs=expiring", "status__exact=pending&sku=MUG-01&total_from=1"]
)
def test_list_asks_as_much_for_one_row_as_for_thirty(shop: Business, now: datetime, query: str) -> None:
    product(shop, stock=100)
    client = signed_in(shop)
    asked = []
    for length in (1, 29):
        wanted = [placement(("MUG-01", 1), buyer=Buyer(name=f"Buyer {length} {n}")) for n in range(length)]
        services.place_many(
            business=shop, placements=wanted, actor=ACTOR, now=now - timedelta(minutes=13, seconds=30)
        )
        client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            on_page = len(found(client, query))
        asked.append((on_page, len(queries)))
    assert [length for length, _ in asked] == [1, 30]
    assert asked[0][1] == asked[1][1]


def test_order_is_shown_by_its_own_page(shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop)
    response = client.get(f"{LIST}{order.id}/change/")
    assert (response.status_code, response.url) == (302, f"/staff/orders/{order.id}/")
    assert signed_in(BusinessFactory()).get(f"{LIST}{order.id}/change/").status_code == 404
    assert client.get(f"{LIST}none/change/").status_code == 404


# --- What is done with many ---------------------------------------------------------------------


def choose(client: Client, action: str, *orders: Order, query: str = "", **more: str) -> Any:
    sent = {"action": action, "_selected_action": [str(order.id) for order in orders], "index": "0", **more}
    return client.post(f"{LIST}{query}", sent)


def offered(client: Client) -> set[str]:
    form = client.get(LIST).context["action_form"]
    return {name for name, _ in form.fields["action"].choices if name} if form else set()


PRINTED = {"packing_slips", "invoices"}
PACKING = {"start_processing", "deliver"}
EXPORTS = {"export_orders", "export_lines"}


@pytest.mark.parametrize(("role", "may"), [(Role.MANAGER, True), (Role.PACKER, False)])
def test_new_order_is_offered_to_who_may_take_one(shop: Business, role: Role, may: bool) -> None:
    assert (">New order</a>" in read(signed_in(shop, role).get(LIST))) == may


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.OWNER, PRINTED | PACKING | EXPORTS | {"confirm_payment", "cancel"}),
        (Role.MANAGER, PRINTED | PACKING | EXPORTS | {"confirm_payment", "cancel"}),
        (Role.PACKER, PRINTED | PACKING),
        (Role.VIEWER, PRINTED),
    ],
)
def test_role_is_offered_what_it_may_do_and_nothing_else_is_done(
    shop: Business, role: Role, actions: set[str]
) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop, role)
    assert offered(client) == actions
    for action in (PACKING | EXPORTS | {"confirm_payment", "cancel"}) - actions:
        choose(client, action, order)
    assert not BulkRun.objects.filter(business=shop).exists()


def test_step_of_many_leads_to_its_preview(shop: Business, all_is_well: None) -> None:
    product(shop)
    one, two, other = (place(shop, ("MUG-01", n)) for n in (1, 2, 3))
    response = choose(signed_in(shop), "cancel", one, two)
    run = BulkRun.objects.get(business=shop)
    assert response.url.startswith(f"/staff/bulk/{run.id}/")
    assert {row.order_id for row in run.rows.all()} == {one.id, two.id}
    other.refresh_from_db()
    assert other.status == "pending"


def test_step_of_all_takes_all_that_the_filters_leave(shop: Business) -> None:
    product(shop)
    one, two = (place(shop, ("MUG-01", n)) for n in (1, 2))
    order_in(shop, "draft")
    choose(signed_in(shop), "cancel", one, query="?status__exact=pending", select_across="1")
    assert {row.order_id for row in BulkRun.objects.get(business=shop).rows.all()} == {one.id, two.id}


def test_papers_of_many_are_one_file(shop: Business) -> None:
    product(shop)
    one, two = (place(shop, ("MUG-01", n)) for n in (1, 2))
    response = choose(signed_in(shop, Role.PACKER), "packing_slips", one, two)
    assert response.url.startswith("/staff/documents/?")
    assert {f"order={one.id}", f"order={two.id}", "kind=packing_slip"} <= set(
        response.url.split("?")[1].split("&")
    )


# --- What is taken out --------------------------------------------------------------------------


def test_export_is_what_the_filters_leave(shop: Business, now: datetime) -> None:
    product(shop)
    product(shop, "CUP-01", price="4.00")
    buyer = Buyer(name="=1+1", phone="+447700900123")
    one = place(shop, ("MUG-01", 2), ("CUP-01", 1), buyer=buyer, now=now)
    two = order_in(shop, "shipped", ("MUG-01", 1), now=now + timedelta(minutes=1))
    client = signed_in(shop)
    both = rows(client.get(f"{LIST}export/orders/"))
    assert [row["order"] for row in both] == numbers(two, one)
    assert (both[0]["tracking_number"], both[0]["created_at"]) == ("RM1GB", two.created_at.isoformat())
    (row,) = rows(client.get(f"{LIST}export/orders/?status__exact=pending"))
    assert (row["customer"], row["phone"]) == ("'=1+1", "'+447700900123")
    assert (row["total"], row["currency"], row["carrier"]) == ("23.80", "GBP", "")
    lines = rows(client.get(f"{LIST}export/order-lines/?q=900123"))
    assert [(line["order"], line["sku"], line["quantity"]) for line in lines] == [
        (one.number, "MUG-01", "2"),
        (one.number, "CUP-01", "1"),
    ]
    assert client.get(f"{LIST}export/secrets/").status_code == 404


def test_export_of_the_chosen(shop: Business) -> None:
    product(shop)
    one, _ = (place(shop, ("MUG-01", n)) for n in (1, 2))
    client = signed_in(shop)
    assert [row["order"] for row in rows(choose(client, "export_orders", one))] == [one.number]
    assert [row["quantity"] for row in rows(choose(client, "export_lines", one))] == ["1"]


def test_export_is_of_one_business(shop: Business) -> None:
    product(shop)
    place(shop, ("MUG-01", 1))
    other = signed_in(BusinessFactory())
    assert rows(other.get(f"{LIST}export/orders/")) == []
    assert found(other) == []
    assert rows(choose(other, "export_orders", *Order.objects.filter(business=shop))) == []


@pytest.mark.parametrize("role", [Role.PACKER, Role.VIEWER])
def test_export_needs_the_right(shop: Business, role: Role) -> None:
    client = signed_in(shop, role)
    assert client.get(f"{LIST}export/orders/").status_code == 403
    assert "Download CSV" not in read(client.get(LIST))
