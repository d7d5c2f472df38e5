"""What the clients want: each places an order and knows what is to become of it."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from proofs.chaos.clients import Answer, Caller, Gate
from proofs.chaos.journal import Journal
from proofs.chaos.shop import HOT, SKUS, Shop

BUYERS = 12
HOT_SHARE = 0.2  # of the orders
LAST_MOMENT = (-0.5, 6)  # seconds after an order's time is over, in which the sweep comes by and some pay


class Buyer:
    """Somebody who places one order after the other, and asks for so many things a second."""

    def __init__(self, caller: Caller, rate: float) -> None:
        self.caller = caller
        self.rate = rate
        self.later: list[tuple[float, Callable[[], object]]] = []

    def live(self) -> None:
        """Buy until the gate is closed."""
        while not self.caller.gate.closed:
            self.later.sort(key=lambda plan: plan[0])
            if self.later and self.later[0][0] <= time.time():
                self.later.pop(0)[1]()
            else:
                self._buy()

    def _buy(self) -> None:
        sku, units = (HOT, 1) if random.random() < HOT_SHARE else (random.choice(SKUS), random.randint(1, 3))
        key = str(uuid4())
        order = self.ask("place", "POST", "/orders", an_order(sku, units), key=key, sku=sku, units=units)
        if order:
            (story,) = random.choices(list(STORIES), list(STORIES.values()))
            story(self, order)
            if random.random() < 0.3:
                read(self, order)
            if random.random() < 0.1:
                self.ask("place", "POST", "/orders", an_order(sku, units), key=key, sku=sku, units=units)
        if random.random() < 0.1:
            self._count_shelf(sku)

    def _count_shelf(self, sku: str) -> None:
        """More came in, or less is there: what is sold out comes back."""
        delta = random.choice((1, 2, 3, -1))
        path = f"/products/{self.caller.shop.products[sku]}/stock-adjustments"
        body = {"delta": delta, "reason": "counted"}
        self.ask("adjust", "POST", path, body, key=str(uuid4()), sku=sku, delta=delta)

    def ask(self, *question: Any, **intent: Any) -> Answer | None:
        """Ask, and pause."""
        answer = self.caller.ask(*question, **intent)
        time.sleep(random.expovariate(self.rate))
        return answer

    def plan(self, order: Answer, seconds: float, story: Callable[["Buyer", Answer], object]) -> None:
        """Go on with an order so many seconds after its time to be paid is over; less than none is before."""
        due = datetime.fromisoformat(order["payment_due_at"]).timestamp()
        self.later.append((due + seconds, lambda: story(self, order)))


def an_order(sku: str, units: int) -> dict[str, Any]:
    """The body of an order of one line."""
    return {"channel": "website", "customer": {"name": "Ada"}, "items": [{"sku": sku, "quantity": units}]}


# --- What becomes of an order ------------------------------------------------------------------


def read(buyer: Buyer, order: Answer) -> Answer | None:
    return buyer.ask("read", "GET", f"/orders/{order['id']}", order=order["id"])


def pay(buyer: Buyer, order: Answer) -> Answer | None:
    money = {"provider": "bank", "reference": str(uuid4()), "amount": order["total"]}
    told = {"order": order["id"], "reference": money["reference"]}
    return buyer.ask("pay", "PATCH", f"/orders/{order['id']}/payment", money, **told)


def pay_late(buyer: Buyer, order: Answer) -> None:
    buyer.plan(order, random.uniform(5, 20), pay)


def pay_in_the_last_moment(buyer: Buyer, order: Answer) -> None:
    buyer.plan(order, random.uniform(*LAST_MOMENT), pay)


def pay_and_ship(buyer: Buyer, order: Answer) -> None:
    if (paid := pay(buyer, order)) and paid["status"] == "paid":
        parcel = {"carrier": "Royal Mail", "tracking_number": f"RM{order['number']}"}
        buyer.ask("ship", "PATCH", f"/orders/{order['id']}/shipping", parcel, order=order["id"])


def pay_and_cancel(buyer: Buyer, order: Answer) -> None:
    pay(buyer, order)
    cancel(buyer, order)


def cancel(buyer: Buyer, order: Answer) -> None:
    buyer.ask("cancel", "DELETE", f"/orders/{order['id']}", order=order["id"])


def edit_and_pay(buyer: Buyer, order: Answer) -> None:
    (item,) = order["items"]
    units = random.randint(1, 3)
    body = {"items": [{"sku": item["sku"], "quantity": units}]}
    edited = buyer.ask("edit", "PUT", f"/orders/{order['id']}", body, order=order["id"], units=units)
    # Refused may mean that a try before was done, and that now its time is over.
    if standing := edited or read(buyer, order):
        pay(buyer, standing)


def pay_by_notice(buyer: Buyer, order: Answer) -> None:
    """The provider tells of it, and tells it twice."""
    message_id, facts = str(uuid4()), about_money(order)
    for _ in range(2):
        tell(buyer, "payment.captured", message_id, order, facts)


def be_refunded_by_notice(buyer: Buyer, order: Answer) -> None:
    """The provider tells of the refund first, and late of the payment."""
    tell(buyer, "payment.refunded", str(uuid4()), order, about_money(order))
    tell(buyer, "payment.captured", str(uuid4()), order, about_money(order))


def about_money(order: Answer) -> dict[str, Any]:
    """What a provider tells of money that moved."""
    return {
        "order": {"id": order["id"]},
        "reference": str(uuid4()),
        "amount": order["total"],
        "currency": order["currency"],
    }


def tell(buyer: Buyer, what: str, message_id: str, order: Answer, facts: dict[str, Any]) -> None:
    buyer.ask(
        what,
        "POST",
        f"/payment-notices/{buyer.caller.shop.source.id}",
        {"type": what, "data": facts},
        sign=lambda body: buyer.caller.shop.sign(message_id, body),
        order=order["id"],
        reference=facts["reference"],
    )


def forget(buyer: Buyer, order: Answer) -> None:
    """Nobody pays: its time runs out."""


# And how often, beside the others.
STORIES: dict[Callable[[Buyer, Answer], object], int] = {
    pay: 20,
    pay_late: 10,
    pay_in_the_last_moment: 15,
    pay_and_ship: 10,
    pay_and_cancel: 8,
    cancel: 12,
    edit_and_pay: 15,
    pay_by_notice: 10,
    be_refunded_by_notice: 5,
    forget: 15,
}


class Crowd:
    """All the buyers, each in a thread of its own; some of the orders that were placed early are theirs to pay."""

    def __init__(self, shop: Shop, journal: Journal, *, rate: float, early: Sequence[Answer]) -> None:
        self.gate = Gate()
        buyers = [Buyer(Caller(shop, journal, self.gate), rate / BUYERS) for _ in range(BUYERS)]
        for order in early[::2]:
            pay_in_the_last_moment(random.choice(buyers), order)
        self._threads = [threading.Thread(target=buyer.live, daemon=True) for buyer in buyers]

    def come(self) -> None:
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        self.gate.close()
        for thread in self._threads:
            thread.join()
