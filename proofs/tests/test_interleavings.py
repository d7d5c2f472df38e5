"""The explorer of interleavings: that it walks every schedule, that it sees what is broken; and some pairs of its
table, of which `make interleavings` walks all.

They were seen red, with the schedule printed, when these were taken out: the row count of the shelf's UPDATE
(place|place), the condition and the lock of the sweep (pay|expire, expire|extend), the lock of an order
that is paid (pay|cancel) or extended (expire|extend), the statuses of a move (expire|cancel), the order in which
shelves are locked (place both|place both), the lock of a count (count|count), the customer's lock before their
orders are counted (pay|recount), and of a merge that it locks the orders first (pay|merge). And by edit|merge an
order was not found while its customer was merged into another, for it was locked together with them.
"""

import pytest
from django.db import transaction
from django.db.models import F

from catalog.models import Stock
from factories import product
from orders.services import expire_due
from orders_project.clock import database_now
from proofs.interleavings.explorer import Explorer
from proofs.interleavings.judging import Meeting

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed")]


@pytest.fixture
def explorer():
    explorer = Explorer()
    yield explorer
    explorer.end()


@pytest.fixture
def every_schedule():
    explorer = Explorer(reduced=False)
    yield explorer
    explorer.end()


@pytest.fixture
def shelves(shop):
    """Three shelves, whose versions are the numbers that toy transactions read and count up."""
    for sku in "123":
        product(shop, sku)
    return Stock.objects.filter(business=shop).order_by("product__sku")


def transaction_of(shelves, steps):
    """An act: “r1 w2” reads the first number, and counts up the second. It answers what it read."""

    def act():
        read = []
        with transaction.atomic():
            for kind, sku in steps.split():
                shelf = shelves.filter(product__sku=sku)
                if kind == "r":
                    read.append(shelf.values_list("version", flat=True).get())
                else:
                    shelf.update(version=F("version") + 1)
        return read

    return act


@pytest.mark.parametrize(
    ("first", "second", "schedules"),
    [
        ("r1 w1 w2", "r1 w2 r3", 40),  # the one waits for the other
        ("w1 r2", "w1 r2 w3", 7),
        ("r1 r2", "r2 r1 r3", 10),  # 5 over 2: there is nothing to wait for, and no commit to be felt
        ("w1 w2", "w2 w1", 8),  # they wait for each other
    ],
)
def test_walk_leaves_out_only_what_comes_to_the_same(shelves, explorer, every_schedule, first, second, schedules):
    acts = [transaction_of(shelves, steps) for steps in (first, second)]

    def walked(explorer):
        return [
            (schedule, (schedule.answers, tuple(shelves.values_list("version", flat=True))))
            for schedule in explorer.walk(acts, lambda: shelves.update(version=0))
        ]

    some, every = walked(explorer), walked(every_schedule)
    assert len({schedule.order for schedule, _ in every}) == len(every) == schedules
    assert sum(schedule.stands_for for schedule, _ in some) == schedules
    assert {end for _, end in some} == {end for _, end in every}


PAIRS = [
    "place|place",
    "pay|expire",
    "expire|extend",
    "pay|cancel",
    "place|adjust",
    "edit|merge",
    "place both|place both",
]


@pytest.mark.parametrize("pair", PAIRS)
def test_pair_keeps_every_promise(explorer, pair):
    meeting = Meeting(pair, explorer)
    verdict = meeting.walk()
    assert not verdict.broken, verdict.broken
    assert verdict.walked > 3
    assert not verdict.cut_short
    # Its holds ended an hour ago: other tests ask whether any is overdue.
    expire_due(business_id=meeting.shop.business.id, now=database_now())
