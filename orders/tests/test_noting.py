"""Notes: what people write beside an order."""

from datetime import datetime

import pytest

from catalog.models import Business
from factories import ACTOR, BusinessFactory, order_in, place, product
from orders import services
from orders.errors import OrderNotFound
from orders.lifecycle import Status
from orders.models import Order
from orders_project.errors import InvalidRequest

pytestmark = pytest.mark.usefixtures("db")


def note(order: Order, text: str, now: datetime, actor: str = ACTOR) -> Order:
    return services.add_note(business_id=order.business_id, order_id=order.id, text=text, actor=actor, now=now)


@pytest.mark.parametrize("status", Status.values)
def test_note_is_kept_with_an_order_in_any_status(
    shop: Business, status: str, now: datetime, all_is_well: None
) -> None:
    product(shop)
    order = order_in(shop, status)
    noted = note(order, "  Ring twice.\nThe dog is friendly.  ", now)
    assert (noted.status, noted.version) == (order.status, order.version + 1)
    event = noted.events.get(version=noted.version)
    assert (event.kind, event.actor, event.at) == ("noted", ACTOR, now)
    assert event.facts == {"text": "Ring twice.\nThe dog is friendly."}


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 2001])
def test_note_of_no_words_or_too_many_is_refused(shop: Business, text: str, now: datetime) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    with pytest.raises(InvalidRequest, match="1 to 2,000 characters"):
        note(order, text, now)
    order.refresh_from_db()
    assert order.version == 1


def test_note_that_is_sent_twice_is_one(shop: Business, now: datetime) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    note(order, "Ring twice.", now)
    note(order, "Ring twice.", now)
    note(order, "Ring twice.", now, actor="person:ben")
    note(order, "Ring twice.", now)
    assert order.events.filter(kind="noted").count() == 3


def test_note_on_another_business_s_order_is_refused(shop: Business, now: datetime) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    with pytest.raises(OrderNotFound):
        services.add_note(business_id=BusinessFactory().id, order_id=order.id, text="Hello", actor=ACTOR, now=now)
