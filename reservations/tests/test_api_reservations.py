"""Holds over the API: who holds what, and for how long."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from callers import Caller, refused
from factories import BusinessFactory, order_in, place, product, verb

pytestmark = pytest.mark.usefixtures("db", "all_is_well")


@pytest.fixture
def mug(shop):
    return product(shop, stock=100)


def rows(response):
    return response.json()["results"]


def test_hold_tells_its_order_and_the_seconds_it_has_left(shop, api, mug):
    order = place(shop, ("MUG-01", 3))
    [hold] = rows(api.get("/reservations"))
    assert set(hold) == {
        *("id", "order", "product", "sku", "quantity", "status", "expires_at", "seconds_left", "created_at"),
    }
    assert (hold["order"], hold["product"], hold["sku"]) == (str(order.id), str(mug.id), "MUG-01")
    assert (hold["quantity"], hold["status"]) == (3, "active")
    assert 14 * 60 < hold["seconds_left"] <= 15 * 60


def test_hold_that_ended_has_no_seconds_left_and_one_past_its_time_none_to_go(shop, api, mug, now):
    order_in(shop, "paid")
    order_in(shop, "cancelled")
    late = place(shop, ("MUG-01", 1), now=now - timedelta(minutes=16))
    left = {hold["status"]: hold["seconds_left"] for hold in rows(api.get("/reservations"))}
    assert left == {"converted": None, "released": None, "active": 0}
    verb("cancel", late, reason="too late")


def test_holds_are_narrowed_and_ordered(shop, api, mug, now):
    cup = product(shop, "CUP-01")
    soon = place(shop, ("MUG-01", 1), now=now - timedelta(minutes=10))
    later = place(shop, ("CUP-01", 1), now=now - timedelta(minutes=5))
    paid = order_in(shop, "paid", now=now)
    orders = [str(order.id) for order in (paid, later, soon)]
    assert [hold["order"] for hold in rows(api.get("/reservations"))] == orders
    assert [hold["order"] for hold in rows(api.get("/reservations?ordering=expires_at"))] == orders[::-1]
    assert [hold["order"] for hold in rows(api.get("/reservations?status=converted"))] == [str(paid.id)]
    assert [hold["sku"] for hold in rows(api.get(f"/reservations?product={cup.id}"))] == ["CUP-01"]
    assert [hold["sku"] for hold in rows(api.get("/reservations?sku=CUP-01&status=active"))] == ["CUP-01"]
    assert len(rows(api.get(f"/reservations?order={soon.id}"))) == 1
    before = quote((now + timedelta(minutes=7)).isoformat())
    assert [hold["order"] for hold in rows(api.get(f"/reservations?expires_before={before}"))] == [str(soon.id)]
    for query in ("status=held", "product=x", "order=1", "expires_before=soon", "ordering=quantity", "customer=x"):
        refused(api.get(f"/reservations?{query}"), 400, "invalid_parameter")


def test_holds_page_by_page_show_each_once(shop, api, mug, now):
    orders = [place(shop, ("MUG-01", 1), now=now - timedelta(minutes=n % 2)) for n in range(9)]
    for ordering in ("-created_at", "expires_at"):
        seen, path = [], f"/reservations?ordering={ordering}&limit=2"
        while path:
            page = api.get(path.removeprefix("http://testserver")).json()
            seen += [hold["order"] for hold in page["results"]]
            path = page["next"]
        assert sorted(seen) == sorted(str(order.id) for order in orders)


def test_holds_of_another_shop_are_not_shown(shop, api, mug):
    order = place(shop, ("MUG-01", 1))
    stranger = Caller(BusinessFactory())
    for query in ("", f"?order={order.id}", f"?product={mug.id}", "?sku=MUG-01"):
        assert rows(stranger.get(f"/reservations{query}")) == []


def test_holds_page_asks_as_much_for_many_as_for_few(shop, api, mug, django_assert_num_queries):
    api.get("/reservations")
    for n in range(20):
        if n in (4, 19):
            with django_assert_num_queries(2):  # the key, the holds
                assert len(rows(api.get("/reservations?limit=200"))) == n
        place(shop, ("MUG-01", 1))
