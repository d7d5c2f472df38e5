"""Stock by hand: units received and adjusted, one product at a time, and the sheet for counting many."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.errors import CountRefused, ProductNotFound
from catalog.models import Business, Membership, Product, Stock, StockMovement
from catalog.services import MOST_COUNTS, Count, count_stock
from factories import ACTOR, BusinessFactory, on_shelf, pay, place, product
from orders.errors import InsufficientStock
from orders.tests.staff import read, signed_in
from orders_project.clock import database_now
from orders_project.errors import InvalidRequest

Role = Membership.Role
SHEET = "/staff/count/"


def last_move(goods: Product) -> tuple[str, int, str]:
    """What moved a shelf last."""
    kind, delta, reason = (
        StockMovement.objects.filter(product=goods)
        .order_by("at", "id")
        .values_list("kind", "stock_delta", "reason")
    ).last()
    return kind, delta, reason


def by_hand(client: Client, goods: Product, act: str, **typed: str) -> Any:
    """Fill in a form of the product's page."""
    sent = {"version": str(Stock.objects.get(product=goods).version), **typed}
    return client.post(f"/staff/products/{goods.id}/{act}/", sent, follow=True)


def sheet(client: Client, counts: dict[Product, str], *, reason: str = "Stock count", **seen: int) -> Any:
    """Send a sheet back with these counts; what it said of a shelf is what is there, but for SKUs in `seen`."""
    sent = {"reason": reason}
    for goods, typed in counts.items():
        shelf = Stock.objects.get(product=goods).stock_quantity
        sent |= {f"count-{goods.id}": typed, f"seen-{goods.id}": str(seen.get(goods.sku, shelf))}
    return client.post(SHEET, sent, follow=True)


def count(goods: Product, counted: int, on_shelf: int = 10, **more: Any) -> dict[Any, int]:
    given = {"business_id": goods.business_id, "reason": "counted", "actor": ACTOR, "now": database_now(), **more}
    return count_stock(counts={goods.id: Count(counted, on_shelf)}, **given)


# --- Receive and adjust ------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
class TestByHand:
    def test_receive(self, shop):
        goods = product(shop)
        page = read(by_hand(signed_in(shop), goods, "receive", units="12", reason="note 17"))
        assert "Received 12 units of MUG-01: 22 on the shelf." in page
        assert (on_shelf(shop), last_move(goods)) == ((22, 0), ("received", 12, "note 17"))

    def test_receive_pressed_twice_is_one_delivery(self, shop):
        goods = product(shop)
        client, version = signed_in(shop), str(Stock.objects.get(product=goods).version)
        for _ in range(2):
            by_hand(client, goods, "receive", units="12", version=version)
        assert on_shelf(shop) == (22, 0)
        by_hand(client, goods, "receive", units="12")  # and of the shelf as it is now, another one
        assert on_shelf(shop) == (34, 0)

    def test_receive_by_two_people_is_two_deliveries(self, shop):
        goods = product(shop)
        version = str(Stock.objects.get(product=goods).version)
        for _ in range(2):
            by_hand(signed_in(shop), goods, "receive", units="12", version=version)
        assert on_shelf(shop) == (34, 0)

    @pytest.mark.parametrize(("typed", "delta"), [("-3", -3), ("−3", -3), ("+3", 3), ("3", 3)])
    def test_adjust(self, shop, typed, delta):
        goods = product(shop)
        page = read(by_hand(signed_in(shop), goods, "adjust", units=typed, reason="three were <b>chipped"))
        assert f"{10 + delta} on the shelf." in page
        assert (on_shelf(shop), last_move(goods)) == (
            (10 + delta, 0),
            ("adjusted", delta, "three were <b>chipped"),
        )

    def test_adjust_of_a_shelf_that_changed_meanwhile_keeps_what_was_typed(self, shop):
        goods = product(shop)
        seen = str(Stock.objects.get(product=goods).version)
        pay(place(shop, ("MUG-01", 4)))
        client = signed_in(shop)
        page = read(by_hand(client, goods, "adjust", units="-3", reason="chipped", version=seen))
        assert "The stock changed since you looked." in page
        assert 'value="-3"' in page
        assert 'value="chipped"' in page
        assert "<dd>6</dd>" in page
        assert on_shelf(shop) == (6, 0)
        by_hand(client, goods, "adjust", units="-3", reason="chipped")
        assert on_shelf(shop) == (3, 0)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("act", "typed", "says"),
        [
            ("receive", {"units": "0"}, "Between 1 and 1,000,000 units"),
            ("receive", {"units": "-1"}, "Between 1 and 1,000,000 units"),
            ("receive", {"units": "1.5"}, "Units are a whole number"),
            ("receive", {"units": "٣"}, "Units are a whole number"),
            ("receive", {"units": "5", "reason": "x" * 201}, "Say why, in up to 200 characters."),
            ("receive", {"units": "5", "version": "none"}, "Units are a whole number"),
            ("adjust", {"units": "-1", "reason": " "}, "Say why, in up to 200 characters."),
            ("adjust", {"units": "-9", "reason": "lost"}, "8 can be taken off at most."),
            ("adjust", {"units": "9" * 30, "reason": "found"}, "Units are a whole number"),
        ],
    )
    def test_what_is_refused_changes_nothing_and_says_why(self, shop, act, typed, says):
        goods = product(shop)
        place(shop, ("MUG-01", 2))
        assert says in read(by_hand(signed_in(shop), goods, act, **typed))
        assert on_shelf(shop) == (10, 2)

    @pytest.mark.slow
    @pytest.mark.parametrize("act", ["receive", "adjust"])
    def test_stock_is_moved_by_owners_and_managers(self, shop, act):
        goods = product(shop)
        for role, status in {Role.OWNER: 200, Role.MANAGER: 200, Role.PACKER: 403, Role.VIEWER: 403}.items():
            client = signed_in(shop, role)
            assert by_hand(client, goods, act, units="1", reason="found").status_code == status
            assert client.get(f"/staff/products/{goods.id}/{act}/").status_code == status
            page = read(client.get(f"/staff/products/{goods.id}/"))
            assert (f"/staff/products/{goods.id}/{act}/" in page) == (status == 200)
        assert on_shelf(shop) == (12, 0)

    def test_product_of_another_business_is_missing(self, shop):
        foreign = product(BusinessFactory())
        for act in ("receive", "adjust"):
            assert by_hand(signed_in(shop), foreign, act, units="1", reason="found").status_code == 404
        assert on_shelf(foreign.business) == (10, 0)


# --- The verb of the sheet ---------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
class TestCountStock:
    def test_count_moves_by_the_difference(self, shop):
        goods = product(shop, stock=10)
        assert count(goods, 7) == {goods.id: -3}
        assert (on_shelf(shop), last_move(goods)) == ((7, 0), ("adjusted", -3, "counted"))

    def test_count_that_agrees_moves_nothing(self, shop):
        goods = product(shop, stock=10)
        assert count(goods, 10) == {}
        assert last_move(goods)[0] == "opening"

    def test_count_of_a_shelf_of_which_units_were_held_meanwhile(self, shop):
        """A hold leaves the units where they are: the count is as right as it was."""
        goods = product(shop, stock=10)
        place(shop, ("MUG-01", 4))
        assert count(goods, 9) == {goods.id: -1}
        assert on_shelf(shop) == (9, 4)

    def test_count_of_a_shelf_that_changed_meanwhile(self, shop):
        goods = product(shop, stock=10)
        pay(place(shop, ("MUG-01", 4)))
        with pytest.raises(CountRefused) as refused:
            count(goods, 9)
        (row,) = refused.value.facts["rows"]
        assert (row["sku"], row["counted"], row["stock_quantity"]) == ("MUG-01", 9, 6)
        assert on_shelf(shop) == (6, 0)

    def test_count_under_what_is_held(self, shop):
        goods = product(shop, stock=10)
        place(shop, ("MUG-01", 4))
        with pytest.raises(CountRefused) as refused:
            count(goods, 3)
        assert refused.value.facts["rows"][0]["reserved_stock"] == 4
        assert count(goods, 4) == {goods.id: -6}

    def test_count_all_or_none(self, shop, now):
        mug, tea = product(shop, "MUG-01"), product(shop, "TEA-01")
        counts = {mug.id: Count(7, 10), tea.id: Count(7, 11)}
        with pytest.raises(CountRefused):
            count_stock(business_id=shop.id, counts=counts, reason="counted", actor=ACTOR, now=now)
        assert [on_shelf(shop), on_shelf(shop, "TEA-01")] == [(10, 0), (10, 0)]

    def test_count_of_another_shop(self, shop):
        goods = product(BusinessFactory())
        with pytest.raises(ProductNotFound):
            count(goods, 7, business_id=shop.id)

    def test_count_that_is_none(self, shop, now):
        goods = product(shop)
        for refused in (
            lambda: count(goods, -1),
            lambda: count(goods, 10**10),
            lambda: count(goods, 7, reason=" "),
            lambda: count_stock(business_id=shop.id, counts={}, reason="counted", actor=ACTOR, now=now),
            lambda: count_stock(
                business_id=shop.id,
                counts={uuid4(): Count(1, 1) for _ in range(MOST_COUNTS + 1)},
                reason="counted",
                actor=ACTOR,
                now=now,
            ),
        ):
            with pytest.raises(InvalidRequest):
                refused()
        assert on_shelf(shop) == (10, 0)


def test_count_while_an_order_is_placed(committed: None, shop: Business, at_once: Any, all_is_well: None) -> None:
    """Who comes first has the units. Red without the lock of the shelves: the guard of the counters refuses the
    count then, and nobody is told which product it was."""
    goods = product(shop, stock=10)
    shelf = Stock.objects.get(product=goods)
    order = at_once([lambda: place(shop, ("MUG-01", 8)), lambda: count(goods, 5)], behind=shelf, in_turn=True)
    assert isinstance(order[1], CountRefused)
    assert order[1].facts["rows"][0]["reserved_stock"] == 8
    assert on_shelf(shop) == (10, 8)

    other = product(shop, "TEA-01", stock=10)
    shelf = Stock.objects.get(product=other)
    counted = at_once([lambda: count(other, 5), lambda: place(shop, ("TEA-01", 8))], behind=shelf, in_turn=True)
    assert counted[0] == {other.id: -5}
    assert isinstance(counted[1], InsufficientStock)
    assert on_shelf(shop, "TEA-01") == (5, 0)


# --- The sheet ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
class TestSheet:
    def test_sheet_sets_the_books_right(self, shop):
        mug, tea, cup = (product(shop, sku) for sku in ("MUG-01", "TEA-01", "CUP-01"))
        page = read(sheet(signed_in(shop), {mug: "7", tea: "14", cup: "10"}, reason="End of year"))
        assert "Counted 3 products: 2 differed, by +4 and −3 units." in page
        assert [on_shelf(shop, sku) for sku in ("MUG-01", "TEA-01", "CUP-01")] == [(7, 0), (14, 0), (10, 0)]
        assert last_move(mug) == ("adjusted", -3, "End of year")
        assert last_move(cup)[0] == "opening"

    def test_empty_cells_are_not_counted(self, shop):
        mug, tea = product(shop), product(shop, "TEA-01")
        sheet(signed_in(shop), {mug: "", tea: "0"})
        assert [on_shelf(shop), on_shelf(shop, "TEA-01")] == [(10, 0), (0, 0)]

    def test_refused_sheet_says_why_of_each_row_and_keeps_what_was_typed(self, shop):
        mug, tea, cup = (product(shop, sku) for sku in ("MUG-01", "TEA-01", "CUP-01"))
        place(shop, ("MUG-01", 4))
        client = signed_in(shop)
        page = read(sheet(client, {mug: "3", tea: "9", cup: "8"}, reason="<b>June", **{"TEA-01": 12}))
        assert "Nothing was changed: look at" in page
        assert "4 are held for orders" in page
        assert "Meanwhile the shelf went from 12 to 10. Is 9 still right?" in page
        for goods, typed in ((mug, 3), (tea, 9), (cup, 8)):
            assert f'name="count-{goods.id}" value="{typed}"' in page
        assert 'value="&lt;b&gt;June"' in page
        assert {on_shelf(shop, sku)[0] for sku in ("MUG-01", "TEA-01", "CUP-01")} == {10}
        # The sheet that came back has the shelf as it is: who says yes sends it again.
        assert f'name="seen-{tea.id}" value="10"' in page
        sheet(client, {mug: "4", tea: "9", cup: "8"})
        assert [on_shelf(shop, sku)[0] for sku in ("MUG-01", "TEA-01", "CUP-01")] == [4, 9, 8]

    def test_sheet_refused_for_another_row_still_knows_what_it_said_of_the_shelves(self, shop):
        """Red if it comes back with the shelf as it is by now: the count would put what was sold back on it."""
        mug, tea = product(shop, stock=10), product(shop, "TEA-01", stock=10)
        client = signed_in(shop)
        pay(place(shop, ("MUG-01", 2)))
        page = read(sheet(client, {mug: "10", tea: "1.5"}, **{"MUG-01": 10}))
        assert f'name="seen-{mug.id}" value="10"' in page
        page = read(sheet(client, {mug: "10", tea: "9"}, **{"MUG-01": 10, "TEA-01": 10}))
        assert "Meanwhile the shelf went from 10 to 8. Is 10 still right?" in page
        assert f'name="seen-{mug.id}" value="8"' in page
        assert (on_shelf(shop), on_shelf(shop, "TEA-01")) == ((8, 0), (10, 0))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("typed", "reason", "says"),
        [
            ("1.5", "counted", "Units are a whole number"),
            ("many", "counted", "Units are a whole number"),
            ("-1", "counted", "A shelf has between 0 and"),
            ("", "counted", "no product was counted"),
            ("7", " ", "Say why"),
        ],
    )
    def test_sheet_that_is_refused(self, shop, typed, reason, says):
        goods = product(shop)
        assert says in read(sheet(signed_in(shop), {goods: typed}, reason=reason))
        assert on_shelf(shop) == (10, 0)

    @pytest.mark.parametrize(
        ("query", "skus"),
        [
            ({}, {"MUG-01", "TEA-01"}),
            ({"which": "short"}, {"TEA-01"}),
            ({"which": "all"}, {"MUG-01", "OLD-01", "TEA-01"}),
            ({"words": "tea"}, {"TEA-01"}),
            ({"words": "nothing"}, set()),
            ({"after": "MUG-01"}, {"TEA-01"}),
        ],
    )
    def test_sheet_of_chosen_products(self, shop, query, skus):
        product(shop, "MUG-01")
        product(shop, "TEA-01", stock=0)
        old = product(shop, "OLD-01")
        Product.objects.filter(pk=old.pk).update(is_active=False)
        product(BusinessFactory(), "FAR-01")
        page = read(signed_in(shop).get(SHEET, query))
        assert {sku for sku in ("MUG-01", "TEA-01", "OLD-01", "FAR-01") if f"Counted of {sku}" in page} == skus

    def test_sheet_of_a_shop_without_products_says_where_they_come_from(self, shop):
        page = read(signed_in(shop).get(SHEET))
        assert "Nothing is sold yet." in page
        assert "bring in a file</a>" in page

    def test_sheet_of_another_business_does_nothing(self, shop):
        foreign = product(BusinessFactory())
        assert sheet(signed_in(shop), {foreign: "1"}).status_code == 404
        assert on_shelf(foreign.business) == (10, 0)

    @pytest.mark.parametrize("query", [{"which": "none"}, {"words": "a\0"}])
    def test_sheet_that_does_not_exist_is_missing(self, shop, query):
        assert signed_in(shop).get(SHEET, query).status_code == 404

    def test_sheet_with_rows_of_nobody_is_missing(self, shop):
        assert signed_in(shop).post(SHEET, {"count-x": "1", "reason": "counted"}).status_code == 404

    def test_shelves_are_counted_by_owners_and_managers(self, shop):
        goods = product(shop)
        for role, status in {Role.OWNER: 200, Role.MANAGER: 200, Role.PACKER: 403, Role.VIEWER: 403}.items():
            client = signed_in(shop, role)
            assert client.get(SHEET).status_code == status
            assert sheet(client, {goods: "9"}).status_code == status

    @pytest.mark.slow
    def test_sheet_asks_as_much_for_thirty_products_as_for_one(self, shop):
        client = signed_in(shop)

        def asked(counts: dict[Product, str]) -> tuple[int, int]:
            with CaptureQueriesContext(connection) as shown:
                read(client.get(SHEET))
            with CaptureQueriesContext(connection) as counted:
                client.post(
                    SHEET,
                    {"reason": "x"}
                    | {f"count-{one.id}": "7" for one in counts}
                    | {f"seen-{one.id}": "10" for one in counts},
                )
            return len(shown), len(counted)

        asked({product(shop, "P-00"): ""})
        one = asked({product(shop, "P-01"): "7"})
        assert asked({product(shop, f"P-{n:02}"): "7" for n in range(2, 32)}) == (one[0], one[1] + 1)
