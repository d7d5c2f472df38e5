"""From the money to the door. None of these moves a counter."""

from datetime import timedelta

import pytest

from factories import on_shelf, order_in, place, product, verb
from orders import services
from orders.errors import IllegalTransition, ShippingDetailsRequired
from orders_project.errors import InvalidRequest

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

HOUR = timedelta(hours=1)


@pytest.fixture
def paid(shop, now):
    product(shop, stock=10)
    return order_in(shop, "paid", now=now)


@pytest.fixture
def processing(paid, now):
    return verb("start_processing", paid, now=now)


def ship(order, carrier="Royal Mail", tracking_number="RM1GB", **more):
    return verb("ship", order, carrier=carrier, tracking_number=tracking_number, **more)


def test_start_processing_twice(paid):
    assert [verb("start_processing", paid).version for _ in range(2)] == [paid.version + 1] * 2


@pytest.mark.parametrize(
    ("actor", "said"),
    [("person:ada", "by ada"), ("key:Website", "by the key Website"), ("job:clean-up", "by Holdfast")],
)
def test_refusal_says_who_was_faster(paid, now, actor, said):
    services.start_processing(business_id=paid.business_id, order_id=paid.id, actor=actor, now=now)
    with pytest.raises(IllegalTransition, match=rf"is processing \(last changed {said}\)") as refused:
        verb("deliver", paid)
    assert refused.value.facts["last_change"]["actor"] == actor


def test_ship_and_deliver_move_no_counter(shop, processing, now):
    """Failure 12: shipping part of an order corrupts stock. Stock leaves at payment, and never again."""
    assert on_shelf(shop) == (8, 0)
    order = ship(processing, tracking_url="https://track.example/RM1GB", now=now + HOUR)
    assert on_shelf(shop) == (8, 0)
    shipment = order.shipments.get()
    assert (shipment.carrier, shipment.tracking_number, shipment.shipped_at) == ("Royal Mail", "RM1GB", now + HOUR)
    order = verb("deliver", order, now=now + 2 * HOUR)
    assert on_shelf(shop) == (8, 0)
    assert order.shipments.get().delivered_at == now + 2 * HOUR
    assert [event.kind for event in order.events.order_by("version")] == [
        "placed",
        "paid",
        "processing",
        "shipped",
        "delivered",
    ]


def test_ship_twice(processing, now):
    first, again = (ship(processing, now=now + HOUR) for _ in range(2))
    assert first.version == again.version
    assert again.shipments.get().shipped_at == now + HOUR


@pytest.mark.parametrize(
    ("details", "missing"),
    [
        ({"carrier": ""}, ["carrier"]),
        ({"tracking_number": " "}, ["tracking_number"]),
        ({"carrier": "", "tracking_number": ""}, ["carrier", "tracking_number"]),
    ],
)
def test_ship_without_details(processing, details, missing):
    with pytest.raises(ShippingDetailsRequired) as refused:
        ship(processing, **details)
    assert refused.value.facts == {"missing": missing}
    processing.refresh_from_db()
    assert processing.status == "processing"


def test_ship_again_sets_the_details_right(processing, now):
    order = ship(processing, now=now + HOUR)
    corrected = ship(order, "DHL", "D-2", now=now + 3 * HOUR, shipped_at=now + 2 * HOUR)
    shipment = corrected.shipments.get()
    assert (shipment.carrier, shipment.tracking_number, shipment.shipped_at) == ("DHL", "D-2", now + 2 * HOUR)
    assert corrected.version == order.version + 1
    event = corrected.events.latest("version")
    assert (event.kind, event.facts["carrier"]) == ("shipment_changed", "DHL")


def test_ship_again_after_it_was_delivered(processing, now):
    order = verb("deliver", ship(processing, now=now), now=now)
    with pytest.raises(IllegalTransition):
        ship(order, "DHL", "D-2")
    assert order.shipments.get().carrier == "Royal Mail"


def refuse_time(field, code, act):
    with pytest.raises(InvalidRequest) as refused:
        act()
    (error,) = refused.value.facts["errors"]
    assert (error["field"], error["code"]) == (field, code)


def test_ship_at_an_impossible_time(processing, now):
    refuse_time("shipped_at", "in_the_future", lambda: ship(processing, shipped_at=now + 2 * HOUR, now=now + HOUR))
    refuse_time("shipped_at", "too_early", lambda: ship(processing, shipped_at=now - HOUR, now=now + HOUR))
    processing.refresh_from_db()
    assert processing.status == "processing"
    assert not processing.shipments.exists()


def test_deliver_at_an_impossible_time(processing, now):
    order = ship(processing, shipped_at=now + HOUR, now=now + HOUR)

    def deliver(at):
        return verb("deliver", order, delivered_at=at, now=now + 3 * HOUR)

    refuse_time("delivered_at", "in_the_future", lambda: deliver(now + 4 * HOUR))
    refuse_time("delivered_at", "too_early", lambda: deliver(now))
    order.refresh_from_db()
    assert order.status == "shipped"
    assert deliver(now + 2 * HOUR).shipments.get().delivered_at == now + 2 * HOUR


def test_deliver_twice(processing, now):
    order = ship(processing, now=now)
    first, again = verb("deliver", order, now=now + HOUR), verb("deliver", order, now=now + 2 * HOUR)
    assert first.version == again.version
    assert again.shipments.get().delivered_at == now + HOUR


def test_record_shipping_all_in_one_go(paid, now):
    order = verb(
        "record_shipping",
        paid,
        carrier="DHL",
        tracking_number="D-1",
        shipped_at=now + HOUR,
        delivered_at=now + 2 * HOUR,
        now=now + 3 * HOUR,
    )
    assert order.status == "delivered"
    assert [event.kind for event in order.events.order_by("version")][2:] == ["processing", "shipped", "delivered"]


def test_record_shipping_all_or_nothing(paid, now):
    with pytest.raises(InvalidRequest):
        verb(
            "record_shipping", paid, carrier="DHL", tracking_number="D-1", delivered_at=now - HOUR, now=now + HOUR
        )
    paid.refresh_from_db()
    assert (paid.status, paid.events.count()) == ("paid", 2)


def test_record_shipping_that_only_tells_of_the_arrival(processing, now):
    order = verb("record_shipping", ship(processing, now=now), delivered_at=now, now=now)
    assert (order.status, order.shipments.get().tracking_number) == ("delivered", "RM1GB")


def test_record_shipping_of_an_order_that_is_not_paid(shop, now):
    product(shop)
    with pytest.raises(IllegalTransition):
        verb("record_shipping", place(shop, ("MUG-01", 1)), carrier="DHL", tracking_number="D-1")
