"""The same order asked for twice: it is placed once, and the second answer is the first order."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from catalog.channels import Channel
from catalog.errors import KeyReused
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, on_shelf, pay, placement, product, verb
from orders import services
from orders.errors import DuplicateOrder, ExternalIdTaken, InsufficientStock
from orders.models import Order

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

SECOND = timedelta(seconds=1)
ADA = Buyer(name="Ada", phone="+447700900123")
BOB = Buyer(name="Bob", phone="+447700900456")


@pytest.fixture
def ask(shop, now):
    product(shop, "MUG-01", stock=100)
    product(shop, "TEA-01", stock=100)

    def place(asked, *, seconds=0, business=shop):
        return services.place(business=business, placement=asked, actor=ACTOR, now=now + seconds * SECOND)

    return place


def test_place_same_key_same_body(ask, shop):
    """Failure 8: double orders of a double click, of two tabs, of a webhook and the return page."""
    asked = placement(("MUG-01", 2), idempotency_key="k-1", buyer=ADA)
    first, again = ask(asked), ask(asked, seconds=3600)
    assert not first.replayed
    assert again.replayed
    assert again.order == first.order
    assert on_shelf(shop) == (100, 2)


def test_place_same_key_answers_with_the_order_as_it_is_now(ask):
    asked = placement(("MUG-01", 2), idempotency_key="k-1")
    first = ask(asked).order
    pay(first)
    verb("cancel", first, reason="changed their mind")
    again = ask(asked)
    assert again.replayed
    assert (again.order.id, again.order.status) == (first.id, "cancelled")


@pytest.mark.parametrize(
    "other",
    [
        {"lines": placement(("MUG-01", 3)).lines},
        {"lines": placement(("TEA-01", 2)).lines},
        {"buyer": BOB},
        {"note": "ring twice"},
        {"channel": Channel.WEBSITE},
        {"draft": True},
        {"external_id": "w-1"},
        {"shipping_address": {"line1": "1 Mill Lane"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_place_same_key_other_body(ask, shop, other):
    asked = placement(("MUG-01", 2), idempotency_key="k-1", buyer=ADA)
    first = ask(asked).order
    with pytest.raises(KeyReused) as refused:
        ask(replace(asked, **other))
    assert refused.value.facts == {"idempotency_key": "k-1", "order": str(first.id), "number": first.number}
    assert Order.objects.filter(business=shop).count() == 1
    assert on_shelf(shop) == (100, 2)


def test_place_same_key_in_two_shops(ask):
    other = BusinessFactory()
    product(other)
    asked = placement(("MUG-01", 2), idempotency_key="k-1")
    assert ask(asked).order != ask(asked, business=other).order


def test_place_key_of_a_refused_order_can_be_used_again(ask, shop):
    """Nothing is remembered of what was refused: the shelf may be full again the next time."""
    product(shop, "CUP-01", stock=0)
    asked = placement(("CUP-01", 1), idempotency_key="k-1")
    with pytest.raises(InsufficientStock):
        ask(asked)
    assert not ask(replace(asked, lines=placement(("MUG-01", 1)).lines)).replayed


def test_place_same_external_id_same_body(ask, shop):
    asked = placement(("MUG-01", 2), external_id="web-1001")
    first, again = ask(asked), ask(replace(asked, idempotency_key="a-new-key"))
    assert again.replayed
    assert again.order == first.order
    assert on_shelf(shop) == (100, 2)


def test_place_same_external_id_other_body(ask, shop):
    asked = placement(("MUG-01", 2), external_id="web-1001")
    first = ask(asked).order
    with pytest.raises(ExternalIdTaken) as refused:
        ask(replace(asked, note="ring twice"))
    assert refused.value.facts == {"external_id": "web-1001", "order": str(first.id), "number": first.number}
    assert on_shelf(shop) == (100, 2)


def test_place_same_external_id_on_another_channel(ask):
    asked = placement(("MUG-01", 2), external_id="1001")
    assert ask(asked).order != ask(replace(asked, channel=Channel.INSTAGRAM)).order


def test_place_many_repeats_within_one_batch(ask, shop, now):
    asked = placement(("MUG-01", 2), idempotency_key="k-1")
    first, again, other = services.place_many(
        business=shop, placements=[asked, asked, replace(asked, note="x")], actor=ACTOR, now=now
    )
    assert (first.replayed, again.replayed) == (False, True)
    assert first.order == again.order
    assert isinstance(other, KeyReused)


# --- the same cart without a key, or with a new one --------------------------------------------


def test_place_same_cart_with_a_new_key_is_a_double_click(ask, shop):
    """Failure 9: the client makes a new key when it retries."""
    asked = placement(("MUG-01", 2), ("TEA-01", 1), buyer=ADA)
    first = ask(replace(asked, idempotency_key="k-1")).order
    turned = replace(asked, lines=tuple(reversed(asked.lines)), idempotency_key="k-2")
    with pytest.raises(DuplicateOrder) as refused:
        ask(turned, seconds=7)
    assert refused.value.facts == {"order": str(first.id), "number": first.number, "possible_in": 3}
    assert on_shelf(shop) == (100, 2)


def test_place_same_cart_after_the_window(ask):
    asked = placement(("MUG-01", 2), buyer=ADA)
    assert ask(asked).order != ask(asked, seconds=10).order


def test_place_same_cart_with_an_external_id_of_its_own(ask):
    asked = placement(("MUG-01", 2), buyer=ADA)
    assert ask(asked).order != ask(replace(asked, external_id="web-1001")).order


@pytest.mark.parametrize(
    "other",
    [
        {"buyer": BOB},
        {"lines": placement(("MUG-01", 3)).lines},
        {"lines": placement(("MUG-01", 2), ("TEA-01", 1)).lines},
        {"channel": Channel.WEBSITE},
    ],
    ids=["buyer", "quantity", "more", "channel"],
)
def test_place_another_cart_is_no_double_click(ask, other):
    asked = placement(("MUG-01", 2), buyer=ADA)
    assert ask(asked).order != ask(replace(asked, **other)).order


def test_place_same_cart_after_the_first_was_cancelled(ask):
    asked = placement(("MUG-01", 2), buyer=ADA)
    verb("cancel", ask(asked).order, reason="wrong size")
    assert ask(asked, seconds=1).order.status == "pending"


def test_place_same_cart_of_walk_ins(ask):
    """Nobody knows that they are one person, and a queue at a market stall does buy the same."""
    asked = placement(("MUG-01", 1))
    assert ask(asked).order != ask(asked).order


def test_place_same_cart_where_the_shop_turned_it_off(ask, shop):
    shop.duplicate_window_seconds = 0
    asked = placement(("MUG-01", 2), buyer=ADA)
    assert ask(asked).order != ask(asked).order
