"""A shop by its rules, in plain Python and without a database: what test_machine.py holds Holdfast to.

Written from docs/api.md and docs/decisions. The verbs have the names and arguments that they have in Holdfast, but
an order is called by its place among the orders. `answer` is the way in: a verb whole, or Refused and none of it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from orders.tests.shop_books import Books, Buyer, Money, Order, Refused

if TYPE_CHECKING:
    from orders.services import Edit, Line, Placement

WINDOW, LONGEST = timedelta(minutes=15), timedelta(hours=24)


class Shop(Books):
    def answer(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        before = deepcopy(vars(self))
        try:
            return getattr(self, verb)(*args, **kwargs)
        except Refused as refusal:
            vars(self).update(before)
            return refusal

    # Before the money

    def place_many(self, asked: Sequence["Placement"], *, now: datetime) -> list[Any]:
        """The place of each order, or its refusal. Units that are held past their time are taken back when else
        somebody would go without."""
        trial = deepcopy(self)
        refusals = [trial.answer("place", one, now) for one in asked]
        short = [sku for refusal in refusals if isinstance(refusal, Refused) for sku in refusal.short]
        if any(self.overdue(sku, now) for sku in short):
            self.take_back({line.product for one in asked for line in one.lines}, now)
        return [self.answer("place", one, now) for one in asked]

    def place(self, asked: "Placement", now: datetime) -> int:
        if first := self.asked_before(asked):
            return first.number
        phone, units = asked.buyer.phone, units_of(asked.lines)
        buyer = next((order.buyer for order in self.orders if phone and order.buyer.phone == phone), Buyer(phone))
        new = Order(len(self.orders), asked, buyer, units, dict(self.prices), asked.discount, now)
        if new.total < 0:
            raise Refused("discount_too_large")
        if asked.external_id is None and any(self.is_double_click(order, new) for order in self.orders):
            raise Refused("duplicate_order")
        self.orders.append(new)
        if asked.draft:
            new.events.append("created")
        else:
            self.wait_for_money(new, now)
            new.events.append("placed")
        return new.number

    def asked_before(self, asked: "Placement") -> Order | None:
        key, name = asked.idempotency_key, (asked.channel, asked.external_id)
        keyed = [order for order in self.orders if key and order.asked.idempotency_key == key]
        named = [o for o in self.orders if asked.external_id and (o.asked.channel, o.asked.external_id) == name]
        for first in (*keyed, *named):
            if replace(first.asked, idempotency_key=key) != asked:
                raise Refused("idempotency_key_reused" if keyed else "external_id_taken")
            return first
        return None

    def is_double_click(self, before: Order, new: Order) -> bool:
        alike = (before.buyer, before.units, before.asked.channel) == (new.buyer, new.units, new.asked.channel)
        drafts = (before.status == "draft") == new.asked.draft
        lately = before.status != "cancelled" and before.created + self.double_click > new.created
        return alike and drafts and lately

    def wait_for_money(self, order: Order, now: datetime) -> None:
        waiting = [o for o in self.orders if o.buyer is order.buyer and o.due and o.due > now]
        if len(waiting) >= self.most_open:
            raise Refused("too_many_open_orders")
        order.status, order.placed, order.due = "pending", now, now + WINDOW
        self.hold(order, order.units, order.due, order.asked.channel)

    def take_back(self, skus: Collection[str], now: datetime, spared: Collection[int] = ()) -> None:
        """End the holds of these goods whose time is over, for somebody else asks for them."""
        for sku in skus:
            for order in self.overdue(sku, now, spared):
                self.end(order, "expired", sku)

    def submit(self, number: int, *, now: datetime) -> None:
        order = self.orders[number]
        if order.go("pending"):
            self.take_back(order.units, now)
            self.wait_for_money(order, now)
            order.events.append("submitted")

    def edit(self, number: int, *, change: "Edit", expected_version: int | None, now: datetime) -> None:
        """What was ordered before keeps its price."""
        order = self.orders[number]
        if expected_version not in (None, len(order.events)):
            raise Refused("version_changed")
        if order.status not in ("draft", "pending"):
            raise Refused("not_editable")
        if order.due and order.due <= now:
            raise Refused("payment_window_over")
        order.prices = {**self.prices, **{sku: order.prices[sku] for sku in order.units}}
        order.units, order.discount = units_of(change.lines), change.discount
        if order.total < 0:
            raise Refused("discount_too_large")
        if order.due:
            self.take_back({**order.units, **order.held}, now, [number])
            self.hold(order, order.units, order.due, order.asked.channel)
        order.events.append("edited")

    def extend_hold(self, number: int, *, minutes: int, reason: str, now: datetime) -> None:
        order = self.orders[number]
        if order.due is None:
            raise Refused("illegal_transition")
        if order.due <= now:
            raise Refused("payment_window_over")
        until = order.due + timedelta(minutes=minutes)
        if not order.due < until <= now + LONGEST:
            raise Refused("invalid_request")
        order.due = until
        for sku in order.held:
            order.holds[sku].until = until
        order.events.append("hold_extended")

    # The money

    def confirm_payments(self, receipts: Sequence[tuple[int | None, str, Decimal]], *, now: datetime) -> list[Any]:
        """Money that comes in together: none of its orders takes a unit from another of them."""
        together = {number for number, _, _ in receipts if number is not None}
        return [self.answer("pay", *receipt, together, now) for receipt in receipts]

    def pay(
        self, number: int | None, reference: str, amount: Decimal, together: Collection[int], now: datetime
    ) -> None:
        if number is None:
            raise Refused("order_not_found")
        if self.is_known("bank", reference, number, "capture", amount):
            return
        order = self.orders[number]
        if order.payment not in ("pending", "failed"):
            raise Refused("already_paid")
        if order.status == "draft":
            raise Refused("illegal_transition")
        if amount != order.total:
            raise Refused("payment_mismatch")
        self.payments["bank", reference] = Money(number, "capture", amount, now)
        if order.status == "pending" or order.reason in ("payment_timeout", "payment_failed"):
            missing = {sku: units for sku, units in order.units.items() if sku not in order.held}
            if missing:
                self.take_back({sku for one in together for sku in self.orders[one].units}, now, together)
            if all(units <= self.free(sku) for sku, units in missing.items()):
                self.sell(order, now, late=bool(missing))
                return
        if order.status == "pending":
            self.time_out(order, now)
        order.payment = "refund_due" if amount else "refunded"
        order.events.append("refund_due")

    def sell(self, order: Order, now: datetime, *, late: bool) -> None:
        self.hold(order, order.units, now)
        self.end(order, "sold")
        order.status, order.payment, order.paid = "paid", "paid", now
        order.due, order.reason, order.cancelled = None, "", None
        order.events.append("paid_late" if late else "paid")

    def is_known(self, provider: str, reference: str, number: int, kind: str, amount: Decimal) -> bool:
        """Whether this money was told of before."""
        told = self.payments.get((provider, reference))
        if told and (told.order, told.kind, told.amount) != (number, kind, amount):
            raise Refused("payment_reference_taken")
        return told is not None

    def record_failed_payment(self, number: int, *, release: bool, now: datetime) -> None:
        order = self.orders[number]
        if release and order.reason == "payment_failed":
            return
        if order.status != "pending":
            raise Refused("illegal_transition")
        order.payment = "failed"
        order.events.append("payment_failed")
        if release:
            self.cancel(number, reason="payment_failed", now=now)

    def record_refund(self, number: int, *, provider: str, reference: str, amount: Decimal, now: datetime) -> None:
        if self.is_known(provider, reference, number, "refund", amount):
            return
        order = self.orders[number]
        left = self.sum(number, "capture") - self.sum(number, "refund")
        if not 0 < amount <= left:
            raise Refused("refund_too_large")
        self.payments[provider, reference] = Money(number, "refund", amount, now)
        partly = "refund_due" if order.status == "cancelled" else "partially_refunded"
        order.payment = "refunded" if amount == left else partly
        order.events.append("refunded")

    # The end

    def start_processing(self, number: int, *, now: datetime) -> None:
        if self.orders[number].go("processing"):
            self.orders[number].events.append("processing")

    def ship(self, number: int, *, carrier: str, tracking_number: str, now: datetime) -> None:
        order = self.orders[number]
        leaves = order.go("shipped")
        if not tracking_number:
            raise Refused("shipping_details_required")
        if order.parcel != tracking_number:
            order.parcel = tracking_number
            order.events.append("shipped" if leaves else "shipment_changed")

    def deliver(self, number: int, *, now: datetime) -> None:
        if self.orders[number].go("delivered"):
            self.orders[number].events.append("delivered")

    def cancel(self, number: int, *, reason: str, now: datetime) -> None:
        order = self.orders[number]
        if not order.go("cancelled"):
            return
        order.due, order.reason, order.cancelled = None, reason, now
        if order.paid is None:
            self.end(order, "released")
        else:
            order.payment = "refund_due" if order.total and order.payment != "refunded" else "refunded"
            self.end(order, "returned")
        order.events.append("cancelled")

    def release_hold(self, number: int, *, reason: str, now: datetime) -> None:
        if self.orders[number].status != "pending":
            raise Refused("illegal_transition")
        self.cancel(number, reason=reason, now=now)

    def expire_due(self, *, now: datetime) -> int:
        due = [order for order in self.orders if order.due and order.due <= now]
        for order in due:
            self.time_out(order, now)
            order.events.append("expired")
        return len(due)

    def time_out(self, order: Order, now: datetime) -> None:
        self.end(order, "expired")
        order.status, order.due, order.reason, order.cancelled = "cancelled", None, "payment_timeout", now

    # Customers and shelves

    def merge_customers(self, kept: int, merged: int | None) -> None:
        """The buyers of two orders are one."""
        if merged is None:
            raise Refused("customer_not_found")
        stays, goes = self.orders[kept].buyer, self.orders[merged].buyer
        if stays is goes:
            raise Refused("same_customer")
        for order in self.orders:
            if order.buyer is goes:
                order.buyer = stays
                order.events.append("customer_merged")
        stays.phone = stays.phone or goes.phone

    def move_by_hand(self, sku: str, kind: str, delta: int, *, key: str | None, stale: bool) -> None:
        if key in self.keys:
            if self.keys[key] != (sku, kind, delta):
                raise Refused("idempotency_key_reused")
            return
        if stale:
            raise Refused("version_changed")
        if self.free(sku) + delta < 0:
            raise Refused("stock_below_reserved")
        self.move(sku, kind, stock=delta)
        if key is not None:
            self.keys[key] = (sku, kind, delta)

    def set_right(self, sku: str, units: int, remedy: str) -> None:
        """A counter is off by some units: one line tells of it, and unless it shall stay another takes it back."""
        counter = "held" if remedy == "hold_sum" else "stock"
        self.move(sku, "reconciled", **{counter: units})
        if remedy != "keep_counter":
            self.move(sku, "reconciled", **{counter: -units})


def units_of(lines: Collection["Line"]) -> dict[str, int]:
    units: Counter[str] = Counter()
    for line in lines:
        units[str(line.product)] += line.quantity
    return dict(units)
