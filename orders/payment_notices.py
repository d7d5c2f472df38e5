"""What payment providers tell: each message is kept and acted on once, in any order and however often it comes.

One that comes too early waits: a payment for its order, a refund for its payment. The rows are the queue. What
can't be done at all is kept for a person to see to.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction

from catalog import audit
from catalog.jobs import for_each
from catalog.wording import who
from orders import services
from orders.errors import (
    IllegalTransition,
    MessageIdReused,
    OrderNotFound,
    PaymentNoticeNotFound,
    PaymentNoticeSettled,
    RefundTooLarge,
)
from orders.models import Order, Payment, PaymentNotice, PaymentSource
from orders.services import Receipt
from orders_project.api.problem import refusal_of
from orders_project.clock import database_now
from orders_project.errors import DomainError
from orders_project.transactions import one_transaction

logger = logging.getLogger(__name__)

Outcome = PaymentNotice.Outcome

CAPTURED = "payment.captured"
FAILED = "payment.failed"
REFUNDED = "payment.refunded"
TYPES = (CAPTURED, FAILED, REFUNDED)

WAITS_FOR = timedelta(days=3)  # as long as providers themselves go on sending what nobody takes
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=5)
SLICE = 200  # notices of one business, after which the next one has its turn


@one_transaction
def receive(
    *, source: PaymentSource, message_id: str, type: str, facts: dict[str, Any], now: datetime
) -> tuple[PaymentNotice, bool]:
    """Keep a signed message and do what it tells. Returns it with its outcome, and whether it had come before:
    then nothing is done again.

    The facts of the three TYPES are as orders/views/notices.py reads them, in JSON; any other type is ignored.
    Raises MessageIdReused, and Busy if it is to be sent again.
    """
    notice = PaymentNotice(
        business_id=source.business_id,
        source=source,
        message_id=message_id,
        type=type,
        facts=facts,
        received_at=now,
        next_try_at=now,
    )
    # Who sends the same at the same moment waits here for the first to end, and finds its row.
    PaymentNotice.objects.bulk_create([notice], ignore_conflicts=True)
    told = PaymentNotice.objects.of(source.business_id).select_related("source")
    kept = told.get(source=source, message_id=message_id)
    if kept.id == notice.id:
        _settle(kept, now)
        return kept, False
    if (kept.type, kept.facts) != (type, facts):
        logger.warning("A message of payment source %s came again with other contents.", source.id)
        raise MessageIdReused(
            "A message with this webhook-id came before, and told something else. Each message needs its own.",
            message_id=message_id,
        )
    return kept, True


# --- What becomes of one -------------------------------------------------------------------------


def _settle(notice: PaymentNotice, now: datetime) -> None:
    """Do what a notice tells, if that can be done, and write down what became of it. The caller has it locked.

    Raises Busy, having written nothing.
    """
    if notice.type not in TYPES:
        _end(notice, Outcome.IGNORED, now)
        return
    order = _find_order(notice)
    if order is None:
        _wait(notice, OrderNotFound("There is no such order here, or not yet."), now)
        return
    notice.order = order
    try:
        with transaction.atomic():
            _do(notice, order, now)
    except DomainError as refusal:
        if refusal.status >= 500:
            raise
        if notice.type == FAILED and isinstance(refusal, IllegalTransition):
            # Told late: the order was paid by another attempt, or waits for none any more.
            _end(notice, Outcome.IGNORED, now, refusal)
        elif isinstance(refusal, RefundTooLarge) and not order.payments.filter(kind=Payment.Kind.CAPTURE).exists():
            _wait(notice, refusal, now)
        else:
            _end(notice, Outcome.REFUSED, now, refusal)
    else:
        _end(notice, Outcome.DONE, now)


def _find_order(notice: PaymentNotice) -> Order | None:
    """The order that a notice names by its id, its number, or its channel's own id."""
    return Order.objects.of(notice.business_id).filter(**notice.facts["order"]).first()


def _do(notice: PaymentNotice, order: Order, now: datetime) -> None:
    """What a notice tells, as a verb of the order. Raises what the verb does."""
    facts, provider = notice.facts, notice.source.name
    key: dict[str, Any] = {"business_id": notice.business_id, "actor": f"provider:{provider}", "now": now}
    if notice.type == FAILED:
        told = {name: facts[name] for name in ("reference", "reason") if name in facts}
        release = facts.get("release", False)
        services.record_failed_payment(order_id=order.id, release=release, provider=provider, **told, **key)
        return
    money = (provider, facts["reference"], Decimal(facts["amount"]), facts["currency"])
    if notice.type == CAPTURED:
        services.confirm_payment(receipt=Receipt(order.id, *money), **key)
    else:
        names = ("provider", "reference", "amount", "currency")
        services.record_refund(order_id=order.id, **dict(zip(names, money, strict=True)), **key)


def _end(notice: PaymentNotice, outcome: Outcome, now: datetime, refusal: DomainError | None = None) -> None:
    """Write down what became of a notice. One that is refused is settled when a person has seen to it."""
    settled_at = None if outcome == Outcome.REFUSED else now
    _write(notice, refusal, outcome=outcome, next_try_at=None, settled_at=settled_at)


def _wait(notice: PaymentNotice, refusal: DomainError, now: datetime) -> None:
    """Have a notice tried again after a pause, each longer than the one before, as long as there is hope."""
    if now >= notice.received_at + WAITS_FOR:
        _end(notice, Outcome.REFUSED, now, refusal)
        return
    pause = min(FIRST_PAUSE * 2 ** min(notice.tries, 10), LONGEST_PAUSE)
    waiting = {"outcome": Outcome.WAITING, "next_try_at": now + pause, "settled_at": None}
    _write(notice, refusal, **waiting, tries=notice.tries + 1)


def _write(notice: PaymentNotice, refusal: DomainError | None, **changes: Any) -> None:
    notice.code = refusal.code if refusal else ""
    notice.detail = refusal.detail[:500] if refusal else ""
    notice.settled_by = ""
    for name, value in changes.items():
        setattr(notice, name, value)
    notice.save(update_fields=["order", "code", "detail", "settled_by", *changes])


# --- Once more -----------------------------------------------------------------------------------


def try_again_those_due() -> int:
    """Try what waits and whose pause is over, some of each business. Returns how many notices.

    Safe to run twice at once. Raises what `catalog.jobs.for_each` does.
    """
    due = PaymentNotice.objects.due(database_now()).order_by("business_id")
    return for_each(list(due.values_list("business_id", flat=True).distinct()), _try_some)


def _try_some(business_id: UUID) -> int:
    tried = 0
    while tried < SLICE and _try_next(business_id):
        tried += 1
    return tried


@one_transaction
def _try_next(business_id: UUID) -> bool:
    """Try the next notice; False if there is none that others aren't trying."""
    now = database_now()
    notice = PaymentNotice.objects.of(business_id).take(now)
    if notice is None:
        return False
    try:
        with transaction.atomic():
            _settle(notice, now)
    except OperationalError:
        raise  # the database is busy or going away, which is not this notice's fault
    except Exception as error:  # whatever it is, it is logged and keeps no other notice waiting
        _wait(notice, refusal_of(error), now)
    return True


# --- By a person ---------------------------------------------------------------------------------


@one_transaction
def try_again(*, business_id: UUID, notice_id: UUID, actor: str, now: datetime) -> PaymentNotice:
    """Do what a notice tells, if it can be done now; one that was put away is open again if it can't.

    Raises PaymentNoticeSettled, PaymentNoticeNotFound, Busy.
    """
    notice = _find(business_id, notice_id)
    if not notice.settled_by:
        _check_unsettled(notice)
    _settle(notice, now)
    audit.record(business_id=business_id, actor=actor, now=now, action="tried again", subject=notice)
    return notice


@one_transaction
def put_away(*, business_id: UUID, notice_id: UUID, actor: str, now: datetime) -> PaymentNotice:
    """Somebody has seen to what a notice tells: it is not tried again by itself. Raises PaymentNoticeSettled,
    PaymentNoticeNotFound."""
    notice = _find(business_id, notice_id)
    _check_unsettled(notice)
    notice.outcome, notice.next_try_at = Outcome.REFUSED, None
    notice.settled_at, notice.settled_by = now, actor
    notice.save(update_fields=["outcome", "next_try_at", "settled_at", "settled_by"])
    audit.record(business_id=business_id, actor=actor, now=now, action="put away", subject=notice)
    return notice


def _find(business_id: UUID, notice_id: UUID) -> PaymentNotice:
    """A notice that nobody else can change until the transaction ends."""
    notices = PaymentNotice.objects.of(business_id).filter(id=notice_id)
    notice = notices.select_for_update(no_key=True).first()
    if notice is None:
        raise PaymentNoticeNotFound("There is no such payment notice.", notice=str(notice_id))
    return notice


def _check_unsettled(notice: PaymentNotice) -> None:
    """Raises PaymentNoticeSettled if nothing is left to do about it."""
    if notice.settled_at is not None:
        by = f" by {who(notice.settled_by)}" if notice.settled_by else ""
        raise PaymentNoticeSettled(
            f"This is settled already{by}.", outcome=notice.outcome, settled_at=notice.settled_at.isoformat()
        )
