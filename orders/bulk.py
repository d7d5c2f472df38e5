"""The same step for many orders: asked for, looked over, confirmed, and then done row by row by a worker.

The rows are the queue. Each is done in one transaction with its outcome: where a worker dies in the middle of a
run the next one goes on, and two at once do each row once.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import Case, Count, Exists, F, OuterRef, QuerySet, Sum, When

from catalog.errors import NotAllowed
from catalog.jobs import for_each
from catalog.people import rights_under
from catalog.rights import DOING, Right
from catalog.wording import who
from orders import services
from orders.errors import BulkRunConfirmed, BulkRunNotFound, NoOrders, TooManyOrders
from orders.lifecycle import Status, may_become
from orders.models import BulkRow, BulkRun, Order, OrderItem, Payment
from orders.services import Receipt, find_order
from orders.services.timeline import refuse_move
from orders_project.clock import database_now
from orders_project.errors import DomainError
from orders_project.rows import Insert, insert
from orders_project.transactions import one_transaction
from reservations.models import StockReservation

logger = logging.getLogger(__name__)

Action = BulkRun.Action
Outcome = BulkRow.Outcome

MOST_ORDERS = 10_000  # in one run
TURN = 20  # seconds of work, after which the other jobs have theirs; less than the job's lock lasts
SLICE = 50  # rows of one business, after which the next one has its turn


def _confirm_by_hand(
    *, business_id: UUID, order_id: UUID, provider: str, prefix: str, actor: str, now: datetime
) -> Order:
    """The order was paid whole, as a person tells: under its number, with something before it."""
    order = find_order(business_id=business_id, order_id=order_id)
    receipt = Receipt(order.id, provider, reference=f"{prefix}{order.number}", amount=order.total)
    return services.confirm_payment(business_id=business_id, receipt=receipt, actor=actor, now=now)


@dataclass(frozen=True, slots=True)
class Step:
    """What an action does to one order: the right that it takes, where it leads, and the verb, which takes the
    run's details besides."""

    right: Right
    to: Status
    verb: Callable[..., Order]


STEPS: Mapping[str, Step] = {
    Action.CONFIRM_PAYMENT: Step(Right.PAYMENTS, Status.PAID, _confirm_by_hand),
    Action.START_PROCESSING: Step(Right.PACKING, Status.PROCESSING, services.start_processing),
    Action.DELIVER: Step(Right.PACKING, Status.DELIVERED, services.deliver),
    Action.CANCEL: Step(Right.ORDERS, Status.CANCELLED, services.cancel),
}


@one_transaction
def prepare(*, business_id: UUID, action: str, order_ids: Collection[UUID], actor: str, now: datetime) -> BulkRun:
    """Write down what is to be done with these orders of a business, for somebody to look over.

    Raises NoOrders, TooManyOrders.
    """
    if len(order_ids) > MOST_ORDERS:
        raise TooManyOrders(
            f"{MOST_ORDERS:,} orders at once are the most. Choose fewer, and the rest after them.",
            most=MOST_ORDERS,
        )
    orders = Order.objects.of(business_id).filter(id__any_of=order_ids).order_by("created_at", "id")
    found = list(orders.values_list("id", "version"))
    if not found:
        raise NoOrders("Choose at least one order.")
    run = BulkRun.objects.create(business_id=business_id, action=action, actor=actor, created_at=now)
    rows = [
        {
            "business_id": business_id,
            "run_id": run.id,
            "position": position,
            "order_id": order_id,
            "version": version,
            "outcome": Outcome.WAITING,
            "answer": "",
        }
        for position, (order_id, version) in enumerate(found, start=1)
    ]
    insert(Insert(BulkRow, rows))
    return run


def find_run(*, business_id: UUID, run_id: UUID, locked: bool = False) -> BulkRun:
    """One bulk run; `locked`, nobody else can confirm it meanwhile. Raises BulkRunNotFound."""
    runs = BulkRun.objects.of(business_id).filter(id=run_id)
    run = (runs.select_for_update() if locked else runs).first()
    if run is None:
        raise BulkRunNotFound("There is no such bulk run.", run=str(run_id))
    return run


@one_transaction
def confirm(*, business_id: UUID, run_id: UUID, details: Mapping[str, Any], actor: str, now: datetime) -> BulkRun:
    """Have a run done, in the name of who confirms it. One that was confirmed before stays as it was then.

    Raises BulkRunNotFound.
    """
    unconfirmed = BulkRun.objects.of(business_id).unconfirmed().filter(id=run_id)
    unconfirmed.update(details=dict(details), actor=actor, confirmed_at=now)
    return find_run(business_id=business_id, run_id=run_id)


@one_transaction
def discard(*, business_id: UUID, run_id: UUID) -> None:
    """Forget a run that is not to be done. Raises BulkRunConfirmed, BulkRunNotFound."""
    run = find_run(business_id=business_id, run_id=run_id, locked=True)
    if run.confirmed_at is not None:
        raise BulkRunConfirmed(
            f"{who(run.actor)} confirmed it meanwhile: it is being done.",
            actor=run.actor,
            confirmed_at=run.confirmed_at.isoformat(),
        )
    run.delete()


# --- What it will do ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Goods:
    """Units by SKU, the most at the top."""

    by_sku: Sequence[tuple[str, int]]

    @property
    def units(self) -> int:
        return sum(units for _, units in self.by_sku)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do now: how many orders it can bring a step further and what they cost, how many it can't
    by their statuses, how many it won't for they changed since they were chosen, and what cancelling does to the
    stock and the money."""

    doable: int
    worth: Decimal
    undoable: Sequence[tuple[Status, int]]
    changed: int
    released: Goods
    restocked: Goods
    owed: Decimal


def preview(run: BulkRun) -> Preview:
    """What a run would do if it was confirmed now."""
    step = STEPS[run.action]
    can = may_become(step.to)
    chosen = Order.objects.of(run.business_id).filter(id__in=run.rows.values("order_id"))
    changed = chosen.filter(status__in=can, id__in=run.rows.outdated().values("order_id"))
    orders = chosen.exclude(id__in=changed.values("id"))
    by_status = {
        Status(status): (count, worth)
        for status, count, worth in orders.values_list("status").annotate(Count("id"), Sum("total"))
    }
    ends = step.to == Status.CANCELLED
    sold = orders.filter(status__in=can if ends else [], paid_at__isnull=False)
    holds = StockReservation.objects.of(run.business_id).active()
    waiting = orders.filter(status__in=[Status.PENDING] if ends else [])
    held = holds.filter(order_id__in=waiting.values("id"))
    items = OrderItem.objects.filter(business=run.business_id, order__in=sold)
    flow = Case(When(kind=Payment.Kind.CAPTURE, then="amount"), default=-F("amount"))
    payments = Payment.objects.filter(business=run.business_id, order__in=sold)
    return Preview(
        doable=sum(count for status, (count, _) in by_status.items() if status in can),
        worth=sum((worth for status, (_, worth) in by_status.items() if status in can), Decimal(0)),
        undoable=[
            (status, by_status[status][0]) for status in Status if status in by_status and status not in can
        ],
        changed=changed.count(),
        released=_goods(held, "product__sku"),
        restocked=_goods(items, "sku"),
        owed=payments.aggregate(owed=Sum(flow))["owed"] or Decimal(0),
    )


def _goods(rows: QuerySet[Any], sku: str) -> Goods:
    return Goods(list(rows.order_by().values_list(sku).annotate(units=Sum("quantity")).order_by("-units", sku)))


# --- Doing it ----------------------------------------------------------------------------------


def work() -> int:
    """Do what waits in the runs that were confirmed, some rows of each business in turn, until nothing waits or
    the turn is over. Returns how many rows were done or refused.

    Safe to run twice at once. Raises what `catalog.jobs.for_each` does.
    """
    began = time.monotonic()
    rows = 0
    while time.monotonic() < began + TURN:
        businesses = BulkRun.objects.open().order_by("business_id").values_list("business_id", flat=True)
        done = for_each(list(businesses.distinct()), _do_some)
        if not done:
            break
        rows += done
    return rows


def _do_some(business_id: UUID) -> int:
    """Some rows of a business's runs, of that which was confirmed first. Returns how many."""
    rows = 0
    for run in BulkRun.objects.of(business_id).open().order_by("confirmed_at", "id"):
        while rows < SLICE and _do_next(run):
            rows += 1
        waiting = BulkRow.objects.waiting().filter(run=OuterRef("pk"))
        BulkRun.objects.open().filter(~Exists(waiting), id=run.id).update(ended_at=database_now())
    return rows


@one_transaction
def _do_next(run: BulkRun) -> bool:
    """Do the next row of a run, together with its outcome; False if there is none that others aren't doing."""
    row = run.rows.take()
    if row is None:
        return False
    outcome, answer = _do(run, row)
    run.rows.filter(position=row.position).update(outcome=outcome, answer=answer[:500])
    return True


def _do(run: BulkRun, row: BulkRow) -> tuple[Outcome, str]:
    """What becomes of one order, if it is still as it was looked at, and what there is to say of it."""
    step = STEPS[run.action]
    of_business: dict[str, Any] = {"business_id": run.business_id, "order_id": row.order_id}

    def change() -> Order:
        return step.verb(**of_business, actor=run.actor, now=database_now(), **run.details)

    try:
        with transaction.atomic():
            if step.right not in rights_under(run.actor, run.business_id):
                raise NotAllowed(f"{who(run.actor)} may not {DOING[step.right]} here any more.", needed=step.right)
            order = find_order(**of_business, locked=True)
            if order.status == step.to:
                return Outcome.DONE, f"It was {step.to} already."
            if order.status not in may_become(step.to):
                raise refuse_move(order, step.to)
            done = services.change_as_seen(**of_business, version=row.version, change=change)
    except DomainError as refusal:
        return Outcome.REFUSED, refusal.detail
    except OperationalError:
        raise  # the database is busy or going away, which is not this order's fault: the row waits
    except Exception:  # whatever it is, it keeps no other order waiting
        logger.exception("A bulk run failed for order %s.", row.order_id)
        return Outcome.REFUSED, "It failed, and nothing was changed. Try again, or look at the order."
    if done.status != step.to:
        return Outcome.DONE, "Its time was over and its goods are gone: the money is due for a refund."
    return Outcome.DONE, ""
