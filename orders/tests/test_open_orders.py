"""How many orders of one customer may wait for their payment: nobody empties a shelf without paying."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from callers import an_order, refused
from customers.services import Buyer
from factories import ACTOR, on_shelf, pay, place, placement, product, verb
from orders import services
from orders.errors import TooManyOpenOrders
from orders.models import Order
from orders.services import Placed

pytestmark = pytest.mark.usefixtures("all_is_well")

MINUTE = timedelta(minutes=1)
ADA = Buyer(name="Ada", phone="+447700900123")


def ask(shop, buyer=ADA, **more):
    """One more order of somebody: another one, however alike."""
    return place(shop, ("MUG-01", 1), buyer=buyer, external_id=str(uuid4()), **more)


@pytest.fixture
def three(shop):
    """A shop that allows three, and has plenty."""
    shop.most_open_orders = 3
    shop.save(update_fields=["most_open_orders"])
    product(shop, stock=1000)
    return shop


@pytest.mark.usefixtures("db")
class TestOpenOrders:
    def test_place_one_too_many(self, three):
        orders = [ask(three) for _ in range(3)]
        with pytest.raises(TooManyOpenOrders) as refusal:
            ask(three)
        assert refusal.value.facts == {"customer": str(orders[0].customer_id), "open": 3, "allowed": 3}
        assert on_shelf(three) == (1000, 3)
        ask(three, buyer=Buyer(name="Bob", phone="+447700900124"))

    @pytest.mark.parametrize("end", ["pay", "cancel", "time"])
    def test_place_after_one_has_ended(self, three, now, end):
        first = ask(three, now=now)
        for _ in range(2):
            ask(three, now=now + MINUTE)
        if end == "pay":
            pay(first, now=now + MINUTE)
        elif end == "cancel":
            verb("cancel", first, reason="changed their mind", now=now + MINUTE)
        # By time it needs no worker: that it is over is enough.
        then = now + 15 * MINUTE if end == "time" else now + MINUTE
        ask(three, now=then)
        with pytest.raises(TooManyOpenOrders):
            ask(three, now=then)

    def test_place_many_counts_within_the_batch(self, three, now):
        """Of somebody new, of somebody known, and of walk-ins, who are nobody twice."""
        ask(three)
        bob, nobody = Buyer(name="Bob", phone="+447700900124"), Buyer(name="Walk-in")
        asked = [
            placement(("MUG-01", 1), buyer=buyer, external_id=str(uuid4())) for buyer in [ADA, bob, nobody] * 5
        ]
        outcomes = services.place_many(business=three, placements=asked, actor=ACTOR, now=now)
        placed = Counter(p.buyer.name for p, o in zip(asked, outcomes, strict=True) if isinstance(o, Placed))
        assert placed == {"Ada": 2, "Bob": 3, "Walk-in": 5}
        assert {type(o) for o in outcomes if not isinstance(o, Placed)} == {TooManyOpenOrders}

    def test_repeat_is_answered_all_the_same(self, three):
        first = place(three, ("MUG-01", 1), buyer=ADA, idempotency_key="k-1")
        for _ in range(2):
            ask(three)
        assert place(three, ("MUG-01", 1), buyer=ADA, idempotency_key="k-1") == first

    def test_drafts_wait_for_nothing_until_they_are_submitted(self, three):
        drafts = [ask(three, draft=True) for _ in range(5)]
        for draft in drafts[:3]:
            verb("submit", draft)
        with pytest.raises(TooManyOpenOrders):
            verb("submit", drafts[3])
        assert verb("submit", drafts[0]).status == "pending"  # as it is

    def test_sales_that_were_made_elsewhere_are_not_counted_out(self, three, now):
        for _ in range(5):
            ask(three, at=now - MINUTE, now=now)

    def test_any_number(self, three):
        three.most_open_orders = None
        for _ in range(5):
            ask(three)

    def test_api_says_so(self, three, api):
        order = {"customer": {"name": "Ada", "phone": ADA.phone}}
        for _ in range(3):
            assert api.post("/orders", an_order(**order, external_id=str(uuid4()))).status_code == 201
        problem = refused(
            api.post("/orders", an_order(**order, external_id=str(uuid4()))), 409, "too_many_open_orders"
        )
        assert (problem["open"], problem["allowed"]) == (3, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_place_twenty_at_once(three, at_once):
    """The guard: customers.hold in _place_batch. Seen red without it: each counts before any other has placed."""
    ask(three)
    answers = at_once([lambda: ask(three)] * 20, behind=three.customers.get())
    assert sum(isinstance(answer, Order) for answer in answers) == 2
    assert on_shelf(three) == (1000, 3)
