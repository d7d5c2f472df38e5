"""Money that comes in for an order. It is recorded or refused with its facts, never lost."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Subquery

from catalog.live import feed
from customers import services as customers
from customers.services import Sale
from orders.errors import AlreadyPaid, OrderNotFound, PaymentMismatch, PaymentReferenceTaken
from orders.lifecycle import REVIVED_BY_PAYMENT, CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent, OrderItem, Payment
from orders.services.pricing import check_currency, units_of
from orders.services.timeline import event_of, find_order, refuse_move
from orders_project import money
from orders_project.errors import Busy, DomainError
from orders_project.rows import Insert, Row, insert, prepared, row_of
from orders_project.transactions import one_transaction, violated_constraint
from reservations import services as reservations
from reservations.services import Shelf, Wanted

LOOKS = 3

Values = frozenset[tuple[str, Any]]  # of columns

# When an order was paid, read from its payment: so orders that were paid at different times change alike.
PAID_AT = Subquery(Payment.objects.filter(order=OuterRef("pk"), kind=Payment.Kind.CAPTURE).values("at"))

BY_HAND = "hand"  # the provider of a payment that a person tells of


class Receipt(msgspec.Struct, frozen=True):
    """Money that came in for an order, as the payment provider or a person tells it.

    `currency` is only checked. `at` is when it came, if that was before: a sale that was made elsewhere.
    """

    order_id: UUID
    provider: str
    reference: str
    amount: Decimal
    currency: str | None = None
    at: datetime | None = None


def confirm_payment(*, business_id: UUID, receipt: Receipt, actor: str, now: datetime) -> Order:
    """The order was paid, whole: what it held is sold. The same payment told twice is a success.

    Money that comes after the order's time takes the goods again if they are still there, and the order
    lives on; if they are not, or the order was called off, the money is recorded as due for a refund.
    Raises PaymentMismatch, CurrencyMismatch, AlreadyPaid, PaymentReferenceTaken, IllegalTransition (for
    a draft), OrderNotFound.
    """
    (outcome,) = confirm_payments(business_id=business_id, receipts=[receipt], actor=actor, now=now)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def mark_paid(*, business_id: UUID, order_id: UUID, actor: str, now: datetime) -> Order:
    """A person says that a pending order was paid, whole: a payment by hand, under the order's number.

    Raises IllegalTransition, OrderNotFound.
    """
    order = find_order(business_id=business_id, order_id=order_id)
    if order.status == Status.PAID:
        return order
    if order.status != Status.PENDING:
        raise refuse_move(order, Status.PAID)
    receipt = Receipt(order.id, provider=BY_HAND, reference=order.number, amount=order.total)
    return confirm_payment(business_id=business_id, receipt=receipt, actor=actor, now=now)


@one_transaction
def confirm_payments(
    *, business_id: UUID, receipts: Sequence[Receipt], actor: str, now: datetime
) -> list[Order | DomainError]:
    """Confirm payments in the order in which they came, in one transaction: each is recorded or refused."""
    for _ in range(LOOKS):
        try:
            with transaction.atomic():
                return _settle(business_id, receipts, actor, now)
        except IntegrityError as error:
            # Someone told the same payment at the same moment; another look finds it.
            if violated_constraint(error) != "payment_once":
                raise
    raise Busy("This payment is being recorded by several at once. Try again.", retry_after=1)


def _settle(
    business_id: UUID, receipts: Sequence[Receipt], actor: str, now: datetime
) -> list[Order | DomainError]:
    """One try. The orders' rows are locked first, so none of them can expire, be cancelled or be edited
    between the question and the answer; then the holds, then the shelves: the order of every verb."""
    books = _Books(business_id, receipts, actor, now)
    outcomes: list[Order | DomainError] = []
    for receipt in receipts:
        try:
            outcomes.append(books.enter(receipt))
        except DomainError as refusal:
            outcomes.append(refusal)
    books.close()
    return outcomes


class _Books:
    """The orders of some receipts, their holds and earlier payments, and what is to be written."""

    def __init__(self, business_id: UUID, receipts: Sequence[Receipt], actor: str, now: datetime) -> None:
        self.business_id = business_id
        self.actor = actor
        self.now = now
        with prepared():  # one plan for any keys
            ids = {receipt.order_id for receipt in receipts}
            found = Order.objects.of(business_id).filter(id__any_of=ids).lock()
            self.orders = {order.id: order for order in found}
            self.told = {
                (payment.provider, payment.reference): payment
                for payment in Payment.objects.filter(
                    business_id=business_id, reference__any_of={receipt.reference for receipt in receipts}
                ).select_related("order")
            }
            self.ordered: defaultdict[UUID, list[OrderItem]] = defaultdict(list)
            for item in OrderItem.objects.filter(order__any_of=self.orders):
                self.ordered[item.order_id].append(item)
            self.held = reservations.units_held(business_id=business_id, order_ids=self.orders)
        self.shelf: Shelf | None = None
        self.payments: list[Payment] = []
        self.changed: defaultdict[tuple[Values, Values], list[UUID]] = defaultdict(list)
        self.events: list[Row] = []
        self.sold: list[Payment] = []
        self.taken_again: list[Wanted] = []
        self.given_up: list[UUID] = []

    def enter(self, receipt: Receipt) -> Order:
        """Decide what a receipt does, and remember what to write. Raises a refusal."""
        order = self.orders.get(receipt.order_id)
        if order is None:
            raise OrderNotFound("There is no such order.", order=str(receipt.order_id))
        told = self.told.get((receipt.provider, receipt.reference))
        if told is not None:
            return told_before(order, told, Payment.Kind.CAPTURE, receipt.amount)
        check_currency(receipt.currency, expected=order.currency)
        self._refuse_unless_payable(order, receipt.amount)
        payment = Payment(
            business_id=self.business_id,
            order=order,
            kind=Payment.Kind.CAPTURE,
            provider=receipt.provider,
            reference=receipt.reference,
            currency=order.currency,
            amount=receipt.amount,
            at=receipt.at or self.now,
            actor=self.actor,
        )
        self.told[receipt.provider, receipt.reference] = payment
        self.payments.append(payment)
        if order.status == Status.PENDING or order.cancel_reason in REVIVED_BY_PAYMENT:
            missing = self._missing(order)
            if self._take(missing):
                self._sell(order, payment, missing)
                return order
        self._owe_back(order, payment)
        return order

    def _refuse_unless_payable(self, order: Order, amount: Decimal) -> None:
        if order.payment_status not in (PaymentStatus.PENDING, PaymentStatus.FAILED):
            here = (payment for payment in self.payments if payment.order_id == order.id)
            capture = next(here, None) or order.payments.get(kind=Payment.Kind.CAPTURE)
            raise AlreadyPaid(
                f"The order was paid by {capture.provider} {capture.reference}. If this is other money, "
                "refund it where it came from.",
                provider=capture.provider,
                reference=capture.reference,
                at=capture.at.isoformat(),
            )
        if order.status == Status.DRAFT:
            raise refuse_move(order, Status.PAID)
        if amount != order.total:
            raise _mismatch(order, amount)

    def _missing(self, order: Order) -> dict[UUID, int]:
        """What the order lists and doesn't hold (any more), because its time was over."""
        held = self.held[order.id]
        units = units_of(self.ordered[order.id])
        return {product_id: quantity for product_id, quantity in units.items() if product_id not in held}

    def _take(self, units: dict[UUID, int]) -> bool:
        """Take units off the shelf once more, if all of them are still there."""
        if not units:
            return True
        if self.shelf is None:
            # The buyers first, as in every verb; then all shelves that this transaction may touch are locked
            # in their one order.
            customers.hold(customer_ids={order.customer_id for order in self.orders.values()})
            self.shelf = reservations.look_at_shelf(
                business_id=self.business_id,
                product_ids={item.product_id for items in self.ordered.values() for item in items},
                actor=self.actor,
                now=self.now,
                locked=True,
                for_orders=self.orders,
            )
        return not self.shelf.admit(units)

    def _sell(self, order: Order, payment: Payment, missing: dict[UUID, int]) -> None:
        late = bool(missing) or order.status == Status.CANCELLED
        self._change(
            order,
            payment,
            OrderEvent.Kind.PAID_LATE if late else OrderEvent.Kind.PAID,
            status=Status.PAID,
            payment_status=PaymentStatus.PAID,
            paid_at=PAID_AT,
            payment_due_at=None,
            cancel_reason="",
            cancelled_at=None,
        )
        order.paid_at = payment.at
        self.sold.append(payment)
        self.taken_again += [
            Wanted(order.id, product_id, quantity, since=payment.at, expires_at=payment.at)
            for product_id, quantity in missing.items()
        ]

    def _owe_back(self, order: Order, payment: Payment) -> None:
        """The order can't have its goods any more; its money is kept for it. A gift owes nothing back."""
        timed_out = order.status == Status.PENDING
        self._change(
            order,
            payment,
            OrderEvent.Kind.REFUND_DUE,
            status=Status.CANCELLED,
            payment_status=PaymentStatus.REFUND_DUE if payment.amount else PaymentStatus.REFUNDED,
            payment_due_at=None,
            cancel_reason=CancelReason.PAYMENT_TIMEOUT if timed_out else order.cancel_reason,
            cancelled_at=payment.at if timed_out else order.cancelled_at,
        )
        if timed_out:
            assert self.shelf is not None  # it was looked at, and had too little
            self.shelf.put_back(self.held[order.id])
            self.given_up.append(order.id)

    def _change(self, order: Order, payment: Payment, kind: OrderEvent.Kind, **changes: Any) -> None:
        """Change the order, and remember its row for `close`."""
        unchanged = {"status": order.status, "payment_status": order.payment_status, "version": order.version}
        self.changed[frozenset(unchanged.items()), frozenset(changes.items())].append(order.id)
        for name, value in changes.items():
            setattr(order, name, value)
        order.version += 1
        self.events.append(payment_event(order, payment, kind))

    def close(self) -> None:
        """Write what was entered; the counters come last."""
        payments = [row_of(payment) for payment in self.payments]
        insert(Insert(Payment, payments), Insert(OrderEvent, self.events))
        self._write_changes()
        customers.count_sales(
            sales=[Sale(payment.order.customer_id, payment.amount, payment.at) for payment in self.sold]
        )
        reservations.expire(business_id=self.business_id, order_ids=self.given_up, actor=self.actor, now=self.now)
        reservations.reserve(business_id=self.business_id, wanted=self.taken_again, actor=self.actor)
        reservations.convert(
            business_id=self.business_id,
            sold_at={payment.order_id: payment.at for payment in self.sold},
            actor=self.actor,
        )

    def _write_changes(self) -> None:
        """Change the orders' rows, those that change alike at once, if they are still what we read; they are,
        for we hold them."""
        for (unchanged, changes), order_ids in self.changed.items():
            orders = Order.objects.of(self.business_id).filter(id__any_of=order_ids, **dict(unchanged))
            if orders.update(version=F("version") + 1, **dict(changes)) < len(order_ids):
                raise RuntimeError(f"one of the orders {order_ids} changed under its lock")
            feed.touch_orders(self.business_id, order_ids)


def _mismatch(order: Order, amount: Decimal) -> PaymentMismatch:
    difference = amount - order.total
    word = "less" if difference < 0 else "more"
    return PaymentMismatch(
        f"The order costs {money.text(order.total, order.currency)} {order.currency}; "
        f"this is {money.text(abs(difference), order.currency)} {word}.",
        amount=money.text(amount, order.currency),
        expected=money.text(order.total, order.currency),
        difference=money.text(difference, order.currency),
        currency=order.currency,
    )


def told_before(order: Order, told: Payment, kind: Payment.Kind, amount: Decimal) -> Order:
    """The order, if what was `told` before is this very payment of it. Raises PaymentReferenceTaken."""
    if (told.order_id, told.kind, told.amount) == (order.id, kind, amount):
        return order
    raise PaymentReferenceTaken(
        f"{told.provider} {told.reference} was recorded for order {told.order.number}, "
        f"with {money.text(told.amount, told.currency)} {told.currency}.",
        provider=told.provider,
        reference=told.reference,
        order=str(told.order_id),
        number=told.order.number,
    )


def payment_event(order: Order, payment: Payment, kind: OrderEvent.Kind) -> Row:
    """The row of the timeline for a payment that made the order's present version."""
    return event_of(
        business_id=order.business_id,
        order_id=order.id,
        version=order.version,
        kind=kind,
        actor=payment.actor,
        now=payment.at,
        facts={
            "provider": payment.provider,
            "reference": payment.reference,
            "amount": money.text(payment.amount, payment.currency),
        },
    )
