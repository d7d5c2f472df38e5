"""What every doorway of placing and paying shares: the lock on a key, how outcomes are shown, bulk."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from catalog.authentication import Access
from orders import services
from orders.errors import InsufficientStock, KeyInFlight
from orders.metrics import count_orders
from orders.models import Order
from orders.services import Placed, Placement, Receipt
from orders.shown import Shown, show_new, show_orders
from orders_project.api.problem import problem, refusal_of
from orders_project.api.reading import etag
from orders_project.errors import DomainError, OutcomeUnknown
from orders_project.locks import locks
from orders_project.rows import Row, row_of
from reservations.demand import Refusal, count_refusals

logger = logging.getLogger(__name__)


def place(access: Access, placements: Sequence[Placement]) -> list[Placed | DomainError]:
    """Place orders; one whose key is being answered by somebody else at this moment is told so (KeyInFlight)."""
    names = {p.idempotency_key: f"key:{access.business.id}:{p.idempotency_key}" for p in placements}
    names.pop(None, None)
    with locks(list(names.values()), seconds=10) as got:
        ours = {None, *(key for key, is_ours in zip(names, got, strict=True) if is_ours)}
        placed = iter(
            services.place_many(
                business=access.business,
                placements=[p for p in placements if p.idempotency_key in ours],
                actor=access.actor,
                now=access.now,
            )
        )
        outcomes = [next(placed) if p.idempotency_key in ours else _in_flight(p) for p in placements]
    count_orders(outcomes)
    count_refusals(business_id=access.business.id, refusals=_refusals(placements, outcomes), now=access.now)
    return outcomes


def _refusals(placements: Sequence[Placement], outcomes: Sequence[Placed | DomainError]) -> list[Refusal]:
    """What of the placements was refused for want of stock."""
    return [
        Refusal(
            placement.channel,
            {item["product"]: item["requested"] - item["available"] for item in outcome.facts["items"]},
        )
        for placement, outcome in zip(placements, outcomes, strict=True)
        if isinstance(outcome, InsufficientStock)
    ]


def _in_flight(placement: Placement) -> KeyInFlight:
    return KeyInFlight(
        "A request with this Idempotency-Key is being answered right now; ask again in a moment.",
        idempotency_key=placement.idempotency_key,
        retry_after=1,
    )


def show_placed(outcomes: Sequence[Placed | DomainError], *, now: datetime) -> list[Shown | DomainError]:
    """Each order as the API shows it, or its refusal."""
    earlier = [outcome.row for outcome in outcomes if isinstance(outcome, Placed) and outcome.replayed]
    read = _show_what_is_done(earlier, now=now) if earlier else {}

    def show(outcome: Placed | DomainError) -> Shown | DomainError:
        if isinstance(outcome, DomainError):
            return outcome
        return read.get(outcome.row["id"]) or UNSEEN if outcome.replayed else show_new(outcome, now=now)

    return [show(outcome) for outcome in outcomes]


def answered(outcome: Placed) -> tuple[int, dict[str, str]]:
    """The status and the headers of the answer to an order that was placed, now or before."""
    version = etag(outcome.row["version"])
    if outcome.replayed:
        return 200, {**version, "Idempotent-Replayed": "true"}
    return 201, {**version, "Location": f"/api/v1/orders/{outcome.row['id']}"}


def confirm(access: Access, receipts: Sequence[Receipt]) -> list[Shown | DomainError]:
    """Confirm payments: each order as the API shows it then, or the refusal."""
    outcomes: list[Order | DomainError] = services.confirm_payments(
        business_id=access.business.id, receipts=receipts, actor=access.actor, now=access.now
    )
    orders = {outcome.id: row_of(outcome) for outcome in outcomes if isinstance(outcome, Order)}
    read = _show_what_is_done(list(orders.values()), now=access.now)
    return [o if isinstance(o, DomainError) else read.get(o.id) or UNSEEN for o in outcomes]


UNSEEN = OutcomeUnknown(
    "This was done, but the order could not be read afterwards. Ask again with the same Idempotency-Key or "
    "reference to see it.",
    retry_after=1,
)


def _show_what_is_done(orders: Sequence[Row], *, now: datetime) -> dict[UUID, Shown]:
    """The orders by their keys; none if they can't be read. What is committed must not be taken for undone, and
    be done again, because a look at it failed."""
    try:
        return {order["id"]: order for order in show_orders(orders, now=now)}
    except Exception:
        logger.exception("Orders could not be read after they were written.")
        return {}


# --- In bulk -----------------------------------------------------------------------------------

BULK_BATCH = 250  # in one transaction: so that others who want the same goods wait only a moment

Asked = TypeVar("Asked")


def place_in_bulk(access: Access, asked: Sequence[Placement | DomainError]) -> dict[str, Any]:
    """Place orders and answer row by row; what couldn't be read is a refusal already."""

    def place_batch(batch: Sequence[Placement]) -> list[dict[str, Any]]:
        outcomes = place(access, batch)
        return [
            _result("replayed" if isinstance(outcome, Placed) and outcome.replayed else "placed", shown)
            for outcome, shown in zip(outcomes, show_placed(outcomes, now=access.now), strict=True)
        ]

    return _in_batches(asked, place_batch)


def confirm_in_bulk(access: Access, told: Sequence[Receipt | DomainError]) -> dict[str, Any]:
    """Confirm payments and answer row by row; what couldn't be read is a refusal already."""

    def confirm_batch(batch: Sequence[Receipt]) -> list[dict[str, Any]]:
        return [_result("confirmed", shown) for shown in confirm(access, batch)]

    return _in_batches(told, confirm_batch)


def _in_batches(
    rows: Sequence[Asked | DomainError], work: Callable[[Sequence[Asked]], list[dict[str, Any]]]
) -> dict[str, Any]:
    def results(batch: Sequence[Asked]) -> list[dict[str, Any]]:
        try:
            return work(batch)
        except Exception as error:  # the batches before are done, and are to be answered so
            return [_result("", refusal_of(error))] * len(batch)

    readable = [row for row in rows if not isinstance(row, DomainError)]
    batches = (readable[start : start + BULK_BATCH] for start in range(0, len(readable), BULK_BATCH))
    done = iter([result for batch in batches for result in results(batch)])
    return {"results": [_result("", row) if isinstance(row, DomainError) else next(done) for row in rows]}


def _result(outcome: str, shown: Shown | DomainError) -> dict[str, Any]:
    if isinstance(shown, DomainError):
        return {"outcome": "refused", "problem": problem(shown)}
    return {"outcome": outcome, "order": shown}
