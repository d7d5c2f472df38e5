"""The checker of `make chaos` finds each kind of loss in a made-up history, and a short run finds none."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import count

import pytest

from orders_project.local.servers import PROJECT
from proofs.chaos.history import BookedOrder, Books, History, too_little, too_slow, untold, violations

OPENING = {"MUG": 3}
DUE = datetime.fromtimestamp(100, UTC).isoformat()


class Told:
    """A history that is written line by line, and the books that go with it."""

    def __init__(self):
        self.history = History()
        self.books = Books()
        self.seconds = count()
        self.numbers = count(1)

    def ask(self, verb, http=200, *, unheard=0, at=None, told=None, **intent):
        """A question and its answer, perhaps after tries that nobody heard of. Returns the order's id."""
        number, at = next(self.numbers), next(self.seconds) if at is None else at
        lines = [{"line": "asked", "at": at, "verb": verb, "key": "", **intent}]
        lines += [{"line": "unheard", "at": at, "since": at}] * unheard
        if http:
            lines.append(
                {"line": "answered", "at": at, "since": at, "http": http, "settled": True, "told": told or {}}
            )
        self.history.read([{"number": number, **line} for line in lines])
        return (told or {}).get("id")

    def place(self, key, order, *, units=1, booked=True, **more):
        """An order that was placed; in the books too, unless it was lost."""
        told = {"id": order, "status": "pending", "version": 1, "payment_due_at": DUE}
        self.ask("place", 201, key=key, sku="MUG", units=units, told=told, **more)
        if booked:
            self.books.orders[order] = BookedOrder(key, "pending", "pending", 1, "MUG", units)
        return self

    def pay(self, order, reference, *, booked=1, at=None):
        told = {"id": order, "status": "paid", "payment_status": "paid", "version": 2}
        self.ask("pay", order=order, reference=reference, told=told, at=at)
        self.books.payments = self.books.payments + Counter({(order, "capture", reference): booked})
        self.books.orders[order].status = self.books.orders[order].payment_status = "paid"
        return self

    def found(self):
        return violations(self.history, self.books, OPENING)


@pytest.fixture
def told():
    return Told()


def test_true_history_passes(told):
    told.place("k1", "o1").pay("o1", "r1").place("k2", "o2", unheard=2)
    told.place("k2", "o2")  # asked again, it is the same order
    told.ask("place", 409, key="k3", sku="MUG", units=9, told={"code": "insufficient_stock"})
    told.ask("adjust", 201, key="a1", sku="MUG", delta=1)
    told.books.adjustments["a1", "MUG", 1] = 1
    assert told.found() == []


def test_order_that_is_lost_is_found(told):
    assert told.place("k1", "o1", booked=False).found() == ["H1: order o1 was confirmed, and is lost"]


def test_two_orders_of_one_key_are_found(told):
    told.place("k1", "o1")
    told.books.orders["o2"] = told.books.orders["o1"]
    assert told.found() == ["H2: 2 orders have the key k1"]


def test_order_that_nobody_was_told_of_is_found(told):
    told.ask("place", 409, key="k1", sku="MUG", units=1, told={"code": "insufficient_stock"})
    told.books.orders["o1"] = BookedOrder("k1", "pending", "pending", 1, "MUG", 1)
    assert told.found() == ["H2: nobody was told of an order, which has the key k1"]


def test_replay_with_another_order_is_found(told):
    told.place("k1", "o1").place("k1", "o2", booked=False)
    assert "H2: the key k1 was answered with the orders ['o1', 'o2']" in told.found()


def test_units_promised_twice_are_found(told):
    told.place("k1", "o1", units=2).place("k2", "o2", units=2)
    assert told.found() == ["H3: 4 of MUG were promised at 1, and 3 were there"]


def test_units_promised_again_after_their_time_are_none_too_many(told):
    told.place("k1", "o1", units=3).place("k2", "o2", units=3, at=101)
    assert told.found() == []


def test_units_sold_and_promised_again_are_found(told):
    told.place("k1", "o1", units=3).pay("o1", "r1").place("k2", "o2", at=200)
    # What o2 was told of its due time is the past by then, so it is the sale of it that counts.
    assert told.pay("o2", "r2", at=201).found() == ["H3: 4 of MUG were promised at 201, and 3 were there"]


def test_payment_that_is_lost_is_found(told):
    told.place("k1", "o1").pay("o1", "r1", booked=0)
    assert told.found() == ["H1: a capture of order o1 was confirmed, and is booked 0 times"]


def test_payment_that_was_overwritten_is_found(told):
    told.place("k1", "o1").pay("o1", "r1")
    told.books.orders["o1"].payment_status = "pending"
    assert told.found() == ["H1: order o1 was paid, and its payment is pending"]


def test_sale_that_was_overwritten_is_found(told):
    """As by an expiry that forgets to ask whether the order is still pending."""
    told.place("k1", "o1").pay("o1", "r1")
    told.books.orders["o1"].status = "cancelled"
    assert told.found() == ["H1: order o1 was sold, and is cancelled"]


def test_edit_that_is_lost_is_found(told):
    told.place("k1", "o1", units=1)
    told.ask("edit", order="o1", units=2, told={"id": "o1", "version": 2})
    assert told.found() == ["H1: order o1 should have [2] units, and has 1"]


def test_cancellation_that_is_lost_is_found(told):
    told.place("k1", "o1")
    told.ask("cancel", order="o1", told={"id": "o1", "version": 2})
    assert told.found() == ["H1: cancel of order o1 was confirmed, and it is pending"]


def test_adjustment_that_is_lost_is_found(told):
    told.ask("adjust", 201, key="a1", sku="MUG", delta=1)
    assert [finding[:52] for finding in told.found()] == ["H1: an adjustment was confirmed, and is booked 0 tim"]


def test_stale_answer_is_found(told):
    told.place("k1", "o1").pay("o1", "r1")
    told.ask("read", order="o1", told={"id": "o1", "version": 1})
    assert told.found() == ["H2: order o1 was at version 2, and then read at version 1"]


@pytest.mark.parametrize(("http", "code"), [(404, "order_not_found"), (500, "server_error"), (0, "")])
def test_answer_that_should_not_be_is_found(told, http, code):
    told.ask("read", http, order="o1", told={"code": code})
    assert len(told.found()) == {404: 1, 500: 2, 0: 1}[http]


def test_event_that_was_told_to_nobody_or_too_early_is_found(told):
    told.books.events = {"e1": ("o1", 1), "e2": ("o1", 2), "e3": ("o2", 1), "e4": ("o2", 2)}
    told.history.read(
        [
            {"line": "received", "event": event, "taken": taken}
            for event, taken in [("e2", True), ("e1", False), ("e1", True), ("e3", True), ("e3", True)]
        ]
    )
    assert untold(told.history, told.books) == [
        "I11: event e4 of order o2 was told to nobody",
        "I11: the events of order o1 were told out of their order",
    ]


def test_slow_recovery_is_found(told):
    told.history.read([{"line": "fault", "name": "kill", "kills": 1, "serving": 31.0, "jobs": 2.0}])
    assert told.history.faults
    assert too_slow(told.history) == ["L1: after “kill” serving took 31 seconds"]


def test_run_in_which_nothing_happened_proves_nothing(told):
    assert "H4: no place was ever confirmed" in too_little(told.history, kills=1)
    assert "H4: only 0 processes were killed" in too_little(told.history, kills=1)


@pytest.mark.parametrize(
    ("tries", "since"),
    [
        ([(1, 2, True), (2, 2.5, True), (3, 3.2, True)], 2),
        ([(1, 2, True), (2, 3, False), (4, 5, True), (5, 6.1, True)], 5),
        ([(-1, 9, False), (1, 2, True), (3, 3.5, True)], 2),  # begun before: it says nothing
        ([(1, 2, True), (2, 2.5, True)], None),  # not yet for a second
        ([(1, 2, False), (2, 3, False)], None),
    ],
)
def test_recovery_is_when_every_try_is_answered_from_then_on(told, tries, since):
    told.ask("read", told={"id": "o1"}, order="o1", at=-5)
    told.history.read(
        {
            "line": "answered" if heard else "unheard",
            "number": 1,
            "since": begun,
            "at": at,
            "http": 200,
            "told": {},
        }
        for begun, at, heard in sorted(tries, key=lambda one: one[1])
    )
    assert told.history.serving_since(0) == since


@pytest.mark.slow
def test_short_run_finds_nothing_lost(tmp_path):
    """Web, PostgreSQL, Valkey and worker are killed, and the connections cut, under load."""
    done = subprocess.run(
        [sys.executable, "-m", "proofs.chaos", "--short", "--minutes", "0.7"],
        cwd=PROJECT,
        env={**os.environ, "HOLDFAST_VAR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "Nothing was lost, doubled or untrue." in done.stdout
