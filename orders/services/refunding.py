"""Payments that failed, and money that went back."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from orders.errors import RefundTooLarge
from orders.lifecycle import CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent, Payment
from orders.services.ending import cancel
from orders.services.paying import payment_event, told_before
from orders.services.pricing import check_currency
from orders.services.timeline import change_locked, compare_and_set, find_order, refuse_move, write_event
from orders.services.worth import restate_worth
from orders_project import money
from orders_project.rows import Insert, insert
from orders_project.transactions import one_transaction

Kind = OrderEvent.Kind


@one_transaction
def record_failed_payment(
    *, business_id: UUID, order_id: UUID, release: bool, actor: str, now: datetime, **told: str
) -> Order:
    """An attempt to pay failed; what was `told` of it (provider, reference, reason) stays in the timeline.

    The order goes on waiting for another one until its time is over, unless `release` says that none will
    come: then it is cancelled and its hold freed at once.

    Raises IllegalTransition for an order that doesn't wait for a payment, OrderNotFound.
    """
    noted = compare_and_set(
        business_id=business_id,
        order_id=order_id,
        where={"status": Status.PENDING},
        payment_status=PaymentStatus.FAILED,
    )
    if noted is None:
        order = find_order(business_id=business_id, order_id=order_id)
        if release and order.cancel_reason == CancelReason.PAYMENT_FAILED:
            return order  # told twice
        raise refuse_move(order, "failed")
    write_event(noted, Kind.PAYMENT_FAILED, actor=actor, now=now, **told)
    if not release:
        return noted
    return cancel(
        business_id=business_id, order_id=order_id, reason=CancelReason.PAYMENT_FAILED, actor=actor, now=now
    )


@one_transaction
def record_refund(
    *,
    business_id: UUID,
    order_id: UUID,
    provider: str,
    reference: str,
    amount: Decimal,
    currency: str | None = None,
    actor: str,
    now: datetime,
) -> Order:
    """Money went back to the buyer: a part or all of what came in. The same refund told twice is a success.

    Goods are not touched: they come back by cancelling, or as an adjustment of the stock.
    Raises CurrencyMismatch, RefundTooLarge, PaymentReferenceTaken, OrderNotFound.
    """
    # Locked, for what may go back is a sum over rows that another refund may be adding to.
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    check_currency(currency, expected=order.currency)
    told = Payment.objects.filter(business_id=business_id, provider=provider, reference=reference).first()
    if told is not None:
        return told_before(order, told, Payment.Kind.REFUND, amount)
    sums = dict(order.payments.order_by().values_list("kind").annotate(Sum("amount")))
    refundable = sums.get(Payment.Kind.CAPTURE, Decimal(0)) - sums.get(Payment.Kind.REFUND, Decimal(0))
    if not 0 < amount <= refundable or not money.is_exact(amount, order.currency):
        left = f"{money.text(refundable, order.currency)} {order.currency} can be refunded."
        raise RefundTooLarge(
            left if sums else "No money has come in for this order that could go back.",
            amount=money.text(amount, order.currency),
            refundable=money.text(refundable, order.currency),
            currency=order.currency,
        )
    if amount == refundable:
        payment_status = PaymentStatus.REFUNDED
    elif order.status == Status.CANCELLED:
        payment_status = PaymentStatus.REFUND_DUE
    else:
        payment_status = PaymentStatus.PARTIALLY_REFUNDED
    order = change_locked(order, payment_status=payment_status)
    refund = Payment(
        business_id=business_id,
        order=order,
        kind=Payment.Kind.REFUND,
        provider=provider,
        reference=reference,
        currency=order.currency,
        amount=amount,
        at=now,
        actor=actor,
    )
    Payment.objects.bulk_create([refund], ignore_conflicts=True)
    recorded = Payment.objects.get(business_id=business_id, provider=provider, reference=reference)
    if recorded.id != refund.id:
        # Told of another order at the same moment; of this one it can't be, for we hold it.
        return told_before(order, recorded, Payment.Kind.REFUND, amount)
    insert(Insert(OrderEvent, [payment_event(order, refund, Kind.REFUNDED)]))
    restate_worth(customer_ids=[order.customer_id], now=now)
    return order
