"""Orders that are refused for want of stock, through every doorway, as lost demand."""

from datetime import timedelta

import pytest

from callers import Caller, an_order, refused
from factories import BusinessFactory, api_key, on_shelf, product
from orders.tests.crowd import at_once as crowd
from reservations.minutes import fold_minutes, refusal_rate
from reservations.models import RefusedDemand


def lost(api, now):
    """What the API says of lost demand, once it is folded."""
    fold_minutes(now=now + timedelta(minutes=1))
    found = api.get("/lost-demand", {"to": (now + timedelta(days=1)).isoformat()}).json()
    return [(row["sku"], row["channel"], row["refusals"], row["units"], row["value"]) for row in found]


@pytest.fixture
def mug(shop):
    return product(shop, stock=2, price="9.90", name="Mug")


@pytest.mark.usefixtures("db", "all_is_well")
def test_refused_order_is_lost_demand_for_what_is_missing(shop, api, mug, now):
    product(shop, "PLATE", stock=5)
    for items in ([("MUG-01", 3)], [("MUG-01", 2), ("PLATE", 6)], [("MUG-01", 5), ("PLATE", 7)]):
        refused(api.post("/orders", an_order(*items)), 409, "insufficient_stock")
    assert lost(api, now) == [
        ("MUG-01", "whatsapp", 2, 4, "39.60"),
        ("PLATE", "whatsapp", 2, 3, "29.70"),
    ]
    rate = refusal_rate(business_id=shop.id, since=now, now=now + timedelta(minutes=1))
    assert (rate.placed, rate.refused) == (0, 3)


@pytest.mark.usefixtures("db", "all_is_well")
def test_orders_in_bulk_are_counted_each(shop, api, mug, now):
    channels = ("website", "instagram", "whatsapp", "website")
    orders = [an_order(channel=channel, idempotency_key=str(row)) for row, channel in enumerate(channels)]
    answer = api.post("/orders/bulk", {"orders": orders}).json()
    assert [row["outcome"] for row in answer["results"]] == ["placed", "placed", "refused", "refused"]
    assert sorted(lost(api, now)) == [
        ("MUG-01", "website", 1, 1, "9.90"),
        ("MUG-01", "whatsapp", 1, 1, "9.90"),
    ]


@pytest.mark.usefixtures("db", "all_is_well")
def test_what_is_refused_for_other_reasons_is_no_lost_demand(shop, api, mug, now):
    refused(api.post("/orders", an_order(("NOWHERE", 1))), 422, "unknown_sku")
    api.post("/orders", an_order(("MUG-01", 9), draft=True))
    assert api.post("/orders", an_order(("MUG-01", 2))).status_code == 201
    assert lost(api, now) == []


@pytest.mark.usefixtures("db", "all_is_well", "redis_away")
def test_sale_goes_on_while_redis_is_away(shop, api, mug, now):
    assert api.post("/orders", an_order(("MUG-01", 2))).status_code == 201
    refused(api.post("/orders", an_order(("MUG-01", 1))), 409, "insufficient_stock")
    assert lost(api, now) == []


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_flash_sale_counts_every_refusal(shop, server, now):
    """A hundred buyers for one mug: one has it, and ninety-nine mugs more could have been sold."""
    mug = product(shop, stock=1, price="9.90")
    order = {"method": "POST", "url": "/api/v1/orders"}
    requests = [
        {**order, "json": an_order(customer={"name": f"Buyer {number}"}, channel="instagram")}
        for number in range(100)
    ]
    answers = crowd(server, api_key(shop), requests)
    assert sorted(answer["status"] for answer in answers) == [201] + [409] * 99
    assert on_shelf(shop) == (1, 1)
    rate = refusal_rate(business_id=shop.id, since=now, now=now + timedelta(minutes=1))
    assert (rate.placed, rate.refused, rate.share) == (1, 99, 0.99)
    for _ in range(2):
        fold_minutes(now=now + timedelta(minutes=1))
    rows = RefusedDemand.objects.filter(business=shop)
    assert sum(row.refusals for row in rows) == sum(row.units for row in rows) == 99
    assert {(row.product_id, row.channel) for row in rows} == {(mug.id, "instagram")}


@pytest.mark.usefixtures("db")
def test_lost_demand_is_shown_for_the_time_that_is_asked_for(shop, api, mug, now):
    refused(api.post("/orders", an_order(("MUG-01", 3))), 409, "insufficient_stock")
    fold_minutes(now=now)
    day = timedelta(days=1)

    def between(since, until):
        return len(api.get("/lost-demand", {"from": since.isoformat(), "to": until.isoformat()}).json())

    assert (
        between(now - day, now + day),
        between(now - 2 * day, now - day),
        between(now + day, now + 2 * day),
    ) == (*(1, 0, 0),)
    assert Caller(BusinessFactory()).get("/lost-demand").json() == []


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "query",
    [
        *("from=x", "to=2026-02-30", "from=9999-12-31T23:59:59Z", "from=0001-01-01", "until=2026-01-01", "from="),
        *("from=2026-01-02&to=2026-01-01", "from=2026-01-01&to=2026-02-02"),
    ],
)
def test_lost_demand_of_no_time_is_refused(api, query):
    refused(api.get(f"/lost-demand?{query}"), 400, "invalid_parameter")
