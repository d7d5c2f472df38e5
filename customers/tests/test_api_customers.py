"""Customers over the API."""

from datetime import timedelta
from uuid import UUID

import pytest

from callers import Caller, refused
from customers.services import Buyer
from factories import BusinessFactory, pay, place, product

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

ADA = Buyer(name="Ada Lovelace", phone="+447700900123", email="ada@example.com", external_id="c-1")


@pytest.fixture
def mug(shop):
    return product(shop, stock=1000)


def names(response):
    return [row["name"] for row in response.json()["results"]]


def test_customer_shows_what_they_paid_and_kept(shop, api, mug):
    order = place(shop, ("MUG-01", 2), buyer=ADA)
    unpaid = api.get(f"/customers/{order.customer_id}").json()
    assert (unpaid["total_orders"], unpaid["total_spent"], unpaid["last_paid_at"]) == (0, "0.00", None)
    paid = pay(order)
    shown = api.get(f"/customers/{order.customer_id}").json()
    assert set(shown) == {
        *("id", "name", "phone", "email", "external_id", "total_orders", "total_spent", "currency"),
        *("last_paid_at", "engagement_score", "created_at"),
    }
    assert (shown["name"], shown["phone"], shown["email"]) == ("Ada Lovelace", "+447700900123", "ada@example.com")
    assert (shown["total_orders"], shown["total_spent"], shown["currency"]) == (1, "19.80", "GBP")
    assert shown["last_paid_at"] == paid.paid_at.isoformat().replace("+00:00", "Z")
    assert 0 < shown["engagement_score"] <= 100
    assert api.get("/customers").json()["results"] == [shown]


def test_customers_are_narrowed_and_ordered(shop, api, mug, now):
    for n, name in enumerate(["Ada", "Grace", "Barbara"]):
        buyer = Buyer(name=name, email=f"{name}@example.com", phone=f"+44770090012{n}", external_id=f"c-{n}")
        pay(place(shop, ("MUG-01", 1 + (n + 1) % 3), buyer=buyer, now=now - timedelta(minutes=n)), now=now)
    assert names(api.get("/customers")) == ["Ada", "Grace", "Barbara"]
    assert names(api.get("/customers?ordering=created_at")) == ["Barbara", "Grace", "Ada"]
    assert names(api.get("/customers?ordering=total_spent")) == ["Barbara", "Ada", "Grace"]
    assert names(api.get("/customers?ordering=-engagement_score"))[0] == "Grace"
    assert names(api.get("/customers?email=GRACE@example.com")) == ["Grace"]
    assert names(api.get("/customers?phone=%2B447700900120")) == ["Ada"]
    assert names(api.get("/customers?external_id=c-2")) == ["Barbara"]
    assert names(api.get("/customers?search=arba")) == ["Barbara"]
    assert names(api.get("/customers?search=90012&limit=2")) == ["Ada", "Grace"]
    for query in ("search=x", "ordering=name", f"phone={'1' * 31}", "name=Ada", "email=%00", "id=zz", "limit=0"):
        refused(api.get(f"/customers?{query}"), 400, "invalid_parameter")


@pytest.mark.parametrize("ordering", ["total_spent", "-engagement_score"])
def test_customers_page_by_page_show_each_once(shop, api, mug, ordering):
    for n in range(9):
        order = place(shop, ("MUG-01", 1), buyer=Buyer(name=f"Buyer {n}", email=f"{n}@example.com"))
        if n % 2:
            pay(order)
    seen, path = [], f"/customers?ordering={ordering}&limit=2"
    while path:
        page = api.get(path.removeprefix("http://testserver")).json()
        seen += [row["name"] for row in page["results"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) == 9
    assert names(api.get(f"/customers?ordering={ordering}")) == seen


def test_customer_of_another_shop_is_not_found(shop, api, mug):
    order = place(shop, ("MUG-01", 1), buyer=ADA)
    stranger = Caller(BusinessFactory())
    for customer_id in (order.customer_id, UUID(int=7)):
        problem = refused(stranger.get(f"/customers/{customer_id}"), 404, "customer_not_found")
        assert problem["customer"] == str(customer_id)
    for query in ("", "?email=ada@example.com", "?phone=%2B447700900123", "?search=lovelace", "?external_id=c-1"):
        assert names(stranger.get(f"/customers{query}")) == []
    refused(api.get(f"/customers/{order.customer_id}?expand=orders"), 400, "invalid_parameter")


def test_customers_page_asks_as_much_for_many_as_for_few(shop, api, mug, django_assert_num_queries):
    api.get("/customers")
    for n in range(20):
        if n in (4, 19):
            with django_assert_num_queries(2):
                assert len(names(api.get("/customers?limit=200"))) == n
        place(shop, ("MUG-01", 1), buyer=Buyer(name=f"Buyer {n}"))
