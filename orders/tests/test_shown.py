"""What the API shows of an order is what OrderSerializer describes, whichever way it was put together."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from rest_framework.renderers import JSONRenderer

from callers import an_order
from customers.services import Buyer
from factories import ACTOR, order_in, pay, place, placement, product, verb
from orders import services
from orders.lifecycle import Status
from orders.models import Order
from orders.serializers import OrderSerializer
from orders.shown import show_new, show_orders
from orders_project.express import json_of
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)
ADA = Buyer(name="Ada Obi", phone="+447700900123", email="ada@example.com", external_id="c-1")
HOME = {"name": "Zoë", "line1": "1 Mill Lane", "postal_code": "LS1 4AP"}


def described(order, now):
    """The order as OrderSerializer describes it, as JSON."""
    order = Order.objects.get(id=order.id)
    holds = StockReservation.objects.filter(order_id=order.id).select_related("product").order_by("id")
    return JSONRenderer().render(
        OrderSerializer(order, context={"now": now, "holds": {order.id: list(holds)}}).data
    )


def in_order(text):
    """JSON with its objects as lists of pairs: so the order of the names is compared, too."""
    return json.loads(text, object_pairs_hook=list)


def swept(shop, now):
    order = place(shop, ("MUG-01", 2), now=now - 16 * MINUTE)
    services.expire_due(business_id=shop.id, now=now)
    return order


def edited(shop, now):
    """It holds less of one thing, and nothing more of another."""
    order = place(shop, ("MUG-01", 2), ("TEA-01", 1), now=now)
    return verb("edit", order, change=services.Edit(lines=(services.Line("MUG-01", 1),)), now=now)


def refunded(shop, now):
    order = order_in(shop, "delivered", now=now)
    verb("record_refund", order, provider="bank", reference="R-1", amount=Decimal("3.50"), now=now)
    return verb("record_refund", order, provider="bank", reference="R-2", amount=Decimal(1), now=now + MINUTE)


def all_of_it(shop, now):
    order = place(
        shop,
        *(("TEA-01", 1), ("MUG-01", 2), ("CUP-01", 3)),
        buyer=ADA,
        shipping_address=HOME,
        shipping_fee=Decimal("4.5"),
        discount=Decimal("0.10"),
        note="été\n請按門鈴",
        external_id="w-1",
        now=now,
    )
    return pay(order, now=now)


KINDS = {
    **{status: lambda shop, now, status=status: order_in(shop, status, now=now) for status in Status.values},
    "swept": swept,
    "edited": edited,
    "refunded": refunded,
    "all of it": all_of_it,
    "cancelled when paid": lambda shop, now: verb("cancel", order_in(shop, "paid", now=now), reason="x", now=now),
}


@pytest.fixture(autouse=True)
def goods(db, shop):
    for sku in ("MUG-01", "TEA-01", "CUP-01"):
        product(shop, sku, stock=20)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_show_orders_is_what_the_document_describes(shop, api, now, make):
    order = make(shop, now)
    later = now + MINUTE
    (shown,) = show_orders(Order.objects.filter(id=order.id), now=later)
    assert in_order(json_of(shown)) == in_order(described(order, later))
    answer = api.get(f"/orders/{order.id}").content
    for told in (read := json.loads(answer), shown := json.loads(json_of(shown))):
        for hold in told["holds"]:
            del hold["seconds_left"]  # counted from another moment
    assert read == shown
    assert list(read) == list(shown)


def test_show_orders_keeps_to_the_order_that_is_asked_for(shop, now):
    """Many at once, and to each what belongs to it."""
    made = [make(shop, now) for make in KINDS.values()][::-1]
    rows = [Order.objects.filter(id=order.id).values().get() for order in made]
    alone = [show_orders([row], now=now)[0] for row in rows]
    assert show_orders(rows, now=now) == alone
    assert [shown["id"] for shown in alone] == [order.id for order in made]


@pytest.mark.parametrize(
    "asked",
    [
        placement(("MUG-01", 1)),
        placement(("TEA-01", 3), ("MUG-01", 2), ("CUP-01", 1), ("TEA-01", 1)),
        placement(("MUG-01", 1), draft=True),
        placement(("MUG-01", 1), buyer=ADA, shipping_address=HOME, note="été", external_id="w-1"),
        placement(("MUG-01", 1), buyer=Buyer(name="Ada", phone="07700 900123"), shipping_fee=Decimal("4.5")),
        placement(("MUG-01", 1), idempotency_key="k-1", discount=Decimal("9.90")),
    ],
    ids=["least", "lines", "draft", "all", "local phone", "free"],
)
def test_show_new_is_what_the_document_describes(shop, now, asked):
    (placed,) = services.place_many(business=shop, placements=[asked], actor=ACTOR, now=now)
    assert in_order(json_of(show_new(placed, now=now))) == in_order(described(placed.order, now))


def test_show_new_of_a_known_customer(shop, now):
    """It shows the customer as they are written down, not as this order spells them."""
    place(shop, ("MUG-01", 1), buyer=ADA)
    asked = placement(("TEA-01", 1), buyer=Buyer(name="A. Obi", phone=ADA.phone))
    (placed,) = services.place_many(business=shop, placements=[asked], actor=ACTOR, now=now)
    assert in_order(json_of(show_new(placed, now=now))) == in_order(described(placed.order, now))


@pytest.mark.parametrize(
    "body",
    [
        an_order(),
        an_order(draft=True),
        an_order(("TEA-01", 2), ("MUG-01", 1), shipping_address=HOME, note="été", customer={"name": "Zoë"}),
    ],
    ids=["least", "draft", "more"],
)
def test_place_answers_with_what_is_read_right_after(api, body):
    placed = api.post("/orders", body)
    read = api.get(placed.headers["Location"])
    assert placed.headers["ETag"] == read.headers["ETag"]
    told, found = placed.json(), read.json()
    for order in (told, found):
        for hold in order["holds"]:
            assert 0 < hold.pop("seconds_left") <= 900
    assert told == found
    assert list(told) == list(found)
