"""What clients were told against what the database has: the checker. It knows the journal and the books, no more.

A question is *settled* when its client has its answer, and *in doubt* as long as it was sent and nobody can tell
what became of it: then it may have been done, or not, but not by half and not twice.

It was seen to fail, on copies: with synchronous_commit off, a kill of PostgreSQL lost five confirmed orders; with
an expiry that doesn't ask whether the order is still pending, and no CHECK behind it, sales were cancelled.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from math import inf
from typing import Any

Line = Mapping[str, Any]

SERVES_WITHIN = 30  # seconds after a fault, by itself
JOBS_RUN_WITHIN = 60  # seconds: the lock of a job that was killed lasts for half of it
STEADY = 1  # seconds in which every try is answered
VERBS = ("place", "pay", "cancel", "edit", "ship", "adjust", "read", "payment.captured", "payment.refunded")
SALES = ("paid", "processing", "shipped", "delivered")
# What may be refused, and why: the world as it should be. Anything else is a fault of ours.
REFUSALS = {
    "place": ("insufficient_stock",),
    "adjust": ("stock_below_reserved",),
    "edit": ("insufficient_stock", "not_editable", "payment_window_over"),
}


@dataclass
class Question:
    """Something that a client asked for, all its tries, and the answer that settled it."""

    verb: str
    at: float
    intent: Line
    tries: list[Line] = field(default_factory=list)  # lines of the journal: answers, and that nothing was heard

    @property
    def answer(self) -> Line | None:
        return next((line for line in self.tries if line.get("settled")), None)

    @property
    def done(self) -> bool:
        return self.answer is not None and self.answer["http"] < 400

    @property
    def told(self) -> Line:
        """What the answer says, of an order or of a refusal."""
        told: Line = self.answer["told"] if self.answer else {}
        return told

    @property
    def refused(self) -> bool:
        return self.answer is not None and self.answer["http"] >= 400

    @property
    def was_in_doubt(self) -> bool:
        return any(failed(line) for line in self.tries)


def failed(line: Line) -> bool:
    """Whether a try was to no avail, so that nobody knows what it did."""
    return line["line"] == "unheard" or line["http"] >= 500


@dataclass
class History:
    """The journal, as far as it was read."""

    questions: dict[Any, Question] = field(default_factory=dict)
    tries: list[Line] = field(default_factory=list)  # of all of them, as they ended
    faults: list[Line] = field(default_factory=list)
    received: list[Line] = field(default_factory=list)  # by the one who is told by webhook

    def read(self, lines: Iterable[Line]) -> None:
        for line in lines:
            match line["line"]:
                case "asked":
                    self.questions[line["number"]] = Question(line["verb"], line["at"], line)
                case "answered" | "unheard":
                    self.questions[line["number"]].tries.append(line)
                    self.tries.append(line)
                case "fault":
                    self.faults.append(line)
                case "received":
                    self.received.append(line)

    def serving_since(self, instant: float) -> float | None:
        """From when on every try was answered, of those that were begun after an instant; None as long as it
        hasn't been so for a second."""
        after = list(takewhile(lambda line: line["at"] >= instant, reversed(self.tries)))
        begun_after = [line for line in reversed(after) if line["since"] >= instant]
        trouble = max((line["at"] for line in begun_after if failed(line)), default=instant)
        served = [line["at"] for line in begun_after if line["since"] > trouble]
        return served[0] if served and served[-1] - served[0] >= STEADY else None

    def of(self, *verbs: str) -> list[Question]:
        return [question for question in self.questions.values() if question.verb in verbs]


@dataclass
class BookedOrder:
    key: str
    status: str
    payment_status: str
    version: int
    sku: str
    units: int


@dataclass
class Books:
    """What the database has of the shop."""

    orders: dict[str, BookedOrder] = field(default_factory=dict)
    payments: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # order, kind, reference
    adjustments: Counter[tuple[str, str, int]] = field(default_factory=Counter)  # key, SKU, delta
    events: dict[str, tuple[str, int]] = field(default_factory=dict)  # of each its order, and its place in it


def violations(history: History, books: Books, opening: Mapping[str, int]) -> list[str]:
    """What was lost, doubled or untrue, a sentence each. Every question has to be settled, and nobody asks."""
    return [
        *_every_question_was_answered(history),
        *_orders_are_there(history, books),
        *_money_is_there(history, books),
        *_counts_are_there(history, books),
        *_nothing_came_from_nowhere(history, books),
        *_answers_agree(history),
        *_no_unit_was_promised_twice(history, opening),
    ]


def _every_question_was_answered(history: History) -> Iterator[str]:
    for question in history.questions.values():
        if question.answer is None:
            yield f"L2: never answered: {dict(question.intent)}"
        elif question.refused and question.told.get("code") not in REFUSALS.get(question.verb, ()):
            yield f"H2: refused: {dict(question.intent)}, with {dict(question.told)}"
        for line in question.tries:
            if line["line"] == "answered" and line["http"] >= 500 and line["http"] != 503:
                yield f"H2: answered with {line['http']}: {dict(question.intent)}"


def _orders_are_there(history: History, books: Books) -> Iterator[str]:
    """H1 for orders and what became of them; each client does one thing with its order after the other."""
    units: dict[str, set[int]] = {}
    for order_id, placed in _placed(history).items():
        order = books.orders.get(order_id)
        units[order_id] = {placed.intent["units"]}
        if order is None:
            yield f"H1: order {order_id} was confirmed, and is lost"
        elif (order.key, order.sku) != (placed.intent["key"], placed.intent["sku"]):
            yield f"H1: order {order_id} is not what was ordered: {order}"
    for question in history.of("edit"):
        if question.done:
            units[question.intent["order"]] = {question.intent["units"]}
        elif question.was_in_doubt:  # its first try may have been done before the time for it was over
            units[question.intent["order"]].add(question.intent["units"])
    for order_id, right in units.items():
        if order_id in books.orders and books.orders[order_id].units not in right:
            yield f"H1: order {order_id} should have {sorted(right)} units, and has {books.orders[order_id].units}"
    for verb, statuses in (("cancel", ("cancelled",)), ("ship", ("shipped", "delivered"))):
        for question in history.of(verb):
            order = books.orders.get(question.intent["order"])
            if question.done and order and order.status not in statuses:
                yield f"H1: {verb} of order {question.intent['order']} was confirmed, and it is {order.status}"


def _money_is_there(history: History, books: Books) -> Iterator[str]:
    """H1 for payments: told of, then booked once, and sold or owed."""
    given_up = {question.intent["order"] for question in history.of("cancel")}
    kinds = {"pay": "capture", "payment.captured": "capture", "payment.refunded": "refund"}
    for question in history.of(*kinds):
        if not question.done or question.told.get("outcome") == "waiting":
            continue
        order_id, kind, reference = question.intent["order"], kinds[question.verb], question.intent["reference"]
        if books.payments[order_id, kind, reference] != 1:
            times = books.payments[order_id, kind, reference]
            yield f"H1: a {kind} of order {order_id} was confirmed, and is booked {times} times"
        order = books.orders.get(order_id)
        if order and order.payment_status in ("pending", "failed"):
            yield f"H1: order {order_id} was paid, and its payment is {order.payment_status}"
        sold = question.told.get("status") in SALES and order_id not in given_up
        if order and sold and order.status not in SALES:
            yield f"H1: order {order_id} was sold, and is {order.status}"


def _counts_are_there(history: History, books: Books) -> Iterator[str]:
    for question in history.of("adjust"):
        booked = books.adjustments[question.intent["key"], question.intent["sku"], question.intent["delta"]]
        if booked != question.done:
            said = "confirmed" if question.done else "refused"
            yield f"H1: an adjustment was {said}, and is booked {booked} times: {dict(question.intent)}"


def _nothing_came_from_nowhere(history: History, books: Books) -> Iterator[str]:
    """Each key has the one order that its client knows; a refusal has left nothing."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for question in history.of("place"):
        keys[question.intent["key"]] |= {question.told["id"]} if question.done else set()
    orders = Counter(order.key for order in books.orders.values())
    for key, count in orders.items():
        if count > 1:
            yield f"H2: {count} orders have the key {key}"
        if not keys.get(key):
            yield f"H2: nobody was told of an order, which has the key {key}"
    for key, ids in keys.items():
        if len(ids) > 1:
            yield f"H2: the key {key} was answered with the orders {sorted(ids)}"
    references = {question.intent.get("reference") for question in history.questions.values()}
    for _, kind, reference in books.payments:
        if reference not in references:
            yield f"H2: a {kind} is booked that nobody told of: {reference}"
    asked = {question.intent["key"] for question in history.of("adjust")}
    for key, sku, delta in books.adjustments:
        if key not in asked:
            yield f"H2: {delta} of {sku} are booked that nobody asked for"


def _answers_agree(history: History) -> Iterator[str]:
    """H2: what a client reads is never older than what it was told before."""
    newest: dict[str, int] = {}
    for question in history.questions.values():
        if not question.done or question.verb not in ("place", "pay", "edit", "cancel", "ship", "read"):
            continue
        version = question.told["version"]
        order_id = question.told["id"]
        if version < newest.get(order_id, 0):
            yield f"H2: order {order_id} was at version {newest[order_id]}, and then read at version {version}"
        newest[order_id] = version


def _no_unit_was_promised_twice(history: History, opening: Mapping[str, int]) -> Iterator[str]:
    """H3 at every moment. Whatever is in doubt is counted in our favour, so that what is found is so.

    A promise begins when its buyer hears of it. It ends when the buyer asks to cancel it, or with the time to
    pay, unless the buyer heard before that it was sold. An order that was edited promises the least of its units.
    """
    moments: defaultdict[str, list[tuple[float, int, int]]] = defaultdict(list)  # at, units there, units promised
    for question in history.of("adjust"):
        delta = question.intent["delta"]
        if delta > 0:
            moments[question.intent["sku"]].append((question.at, delta, 0))
        elif question.done and question.answer:
            moments[question.intent["sku"]].append((question.answer["at"], delta, 0))
    for sku, units, begins, ends in _promises(history):
        if begins < ends:
            moments[sku] += [(begins, 0, units), (ends, 0, -units)]
    for sku, moves in moments.items():
        there, promised = opening[sku], 0
        for at, more, taken in sorted(moves, key=lambda move: (move[0], -move[1], move[2])):
            there, promised = there + more, promised + taken
            if promised > there:
                yield f"H3: {promised} of {sku} were promised at {at}, and {there} were there"
                break


def _promises(history: History) -> Iterator[tuple[str, int, float, float]]:
    """SKU, units, beginning and end of all that was promised for certain."""
    placed = _placed(history)
    least = {order_id: question.intent["units"] for order_id, question in placed.items()}
    for question in history.of("edit"):
        least[question.intent["order"]] = min(least[question.intent["order"]], question.intent["units"])
    cancelled = {question.intent["order"]: question.at for question in history.of("cancel")}
    sold = {
        q.intent["order"]: q.answer["at"] for q in history.of("pay") if q.answer and q.told.get("status") in SALES
    }
    for order_id, question in placed.items():
        assert question.answer is not None
        of_what = question.intent["sku"], least[order_id]
        end = cancelled.get(order_id, inf)
        heard, paid = question.answer["at"], sold.get(order_id, inf)
        if question.told["status"] != "pending":  # its time was over before its buyer heard of it
            yield *of_what, paid, end
            continue
        due = datetime.fromisoformat(question.told["payment_due_at"]).timestamp()
        if paid > due:
            yield *of_what, heard, min(due, end)
        yield *of_what, heard if paid <= due else paid, end


def _placed(history: History) -> dict[str, Question]:
    """Of each order the question that it was first the answer to."""
    return {question.told["id"]: question for question in reversed(history.of("place")) if question.done}


def untold(history: History, books: Books) -> list[str]:
    """H1 for webhooks, when the outbox is empty: every event was taken by who is told, and of each order the
    first first, though perhaps more than once."""
    taken: dict[str, int] = {}
    for line in history.received:
        if line["taken"]:
            taken.setdefault(line["event"], len(taken))
    found = [
        f"I11: event {event} of order {order_id} was told to nobody"
        for event, (order_id, _) in books.events.items()
        if event not in taken
    ]
    timelines: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for event, (order_id, place) in books.events.items():
        if event in taken:
            timelines[order_id].append((place, taken[event]))
    for order_id, told in timelines.items():
        turns = [turn for _, turn in sorted(told)]
        if turns != sorted(turns):
            found.append(f"I11: the events of order {order_id} were told out of their order")
    return found


def too_little(history: History, *, kills: int) -> list[str]:
    """H4: a run in which nothing happened proves nothing."""
    answered = Counter(question.verb for question in history.questions.values() if question.done)
    killed = sum(line["kills"] for line in history.faults)
    return [
        *(f"H4: no {verb} was ever confirmed" for verb in VERBS if not answered[verb]),
        *([f"H4: only {killed} processes were killed"] if killed < kills else []),
    ]


def too_slow(history: History) -> list[str]:
    """L1 and L2: after each fault orders are taken again in time, and jobs run."""
    return [
        f"{rule}: after “{line['name']}” {what} took {line[what]:.0f} seconds"
        for line in history.faults
        for rule, what, most in (("L1", "serving", SERVES_WITHIN), ("L2", "jobs", JOBS_RUN_WITHIN))
        if line[what] > most
    ]
