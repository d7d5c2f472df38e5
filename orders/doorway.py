"""What every doorway of placing and paying shares: the lock on a key, how outcomes are shown, bulk."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from catalog.authentication import Access
from orders import services
from orders.errors import KeyInFlight
from orders.models import Order
from orders.services import Placed, Placement, Receipt
from orders.shown import Shown, show_new, show_orders
from orders_project.api.problem import problem
from orders_project.api.reading import etag
from orders_project.clock import database_now
from orders_project.errors import DomainError
from orders_project.locks import locks


def place(access: Access, placements: Sequence[Placement], *, now: datetime) -> list[Placed | DomainError]:
    """Place orders; one whose key is being answered by somebody else at this moment is told so (KeyInFlight)."""
    names = {p.idempotency_key: f"key:{access.business.id}:{p.idempotency_key}" for p in placements}
    names.pop(None, None)
    with locks(list(names.values()), seconds=30) as got:
        ours = {None, *(key for key, is_ours in zip(names, got, strict=True) if is_ours)}
        placed = iter(
            services.place_many(
                business=access.business,
                placements=[p for p in placements if p.idempotency_key in ours],
                actor=access.actor,
                now=now,
            )
        )
        return [next(placed) if p.idempotency_key in ours else _in_flight(p) for p in placements]


def _in_flight(placement: Placement) -> KeyInFlight:
    return KeyInFlight(
        "A request with this Idempotency-Key is being answered right now; ask again in a moment.",
        idempotency_key=placement.idempotency_key,
        retry_after=1,
    )


def show_placed(outcomes: Sequence[Placed | DomainError], *, now: datetime) -> list[Shown | DomainError]:
    """Each order as the API shows it, or its refusal."""
    earlier = [outcome.row for outcome in outcomes if isinstance(outcome, Placed) and outcome.replayed]
    shown = {order["id"]: order for order in show_orders(earlier, now=now)} if earlier else {}

    def show(outcome: Placed | DomainError) -> Shown | DomainError:
        if isinstance(outcome, DomainError):
            return outcome
        return shown[outcome.row["id"]] if outcome.replayed else show_new(outcome, now=now)

    return [show(outcome) for outcome in outcomes]


def answered(outcome: Placed) -> tuple[int, dict[str, str]]:
    """The status and the headers of the answer to an order that was placed, now or before."""
    version = etag(outcome.row["version"])
    if outcome.replayed:
        return 200, {**version, "Idempotent-Replayed": "true"}
    return 201, {**version, "Location": f"/api/v1/orders/{outcome.row['id']}"}


def confirm(access: Access, receipts: Sequence[Receipt], *, now: datetime) -> list[Shown | DomainError]:
    """Confirm payments: each order as the API shows it then, or the refusal."""
    outcomes: list[Order | DomainError] = services.confirm_payments(
        business_id=access.business.id, receipts=receipts, actor=access.actor, now=now
    )
    paid = {outcome.id for outcome in outcomes if isinstance(outcome, Order)}
    orders = show_orders(Order.objects.of(access.business.id).filter(id__any_of=paid), now=now)
    shown = {order["id"]: order for order in orders}
    return [outcome if isinstance(outcome, DomainError) else shown[outcome.id] for outcome in outcomes]


# --- In bulk -----------------------------------------------------------------------------------

BULK_BATCH = 250  # in one transaction: so that others who want the same goods wait only a moment

Row = TypeVar("Row")


def place_in_bulk(access: Access, asked: Sequence[Placement | DomainError]) -> dict[str, Any]:
    """Place orders and answer row by row; what couldn't be read is a refusal already."""

    def place_batch(batch: Sequence[Placement]) -> list[dict[str, Any]]:
        now = database_now()
        outcomes = place(access, batch, now=now)
        return [
            _result("replayed" if isinstance(outcome, Placed) and outcome.replayed else "placed", shown)
            for outcome, shown in zip(outcomes, show_placed(outcomes, now=now), strict=True)
        ]

    return _in_batches(asked, place_batch)


def confirm_in_bulk(access: Access, told: Sequence[Receipt | DomainError]) -> dict[str, Any]:
    """Confirm payments and answer row by row; what couldn't be read is a refusal already."""

    def confirm_batch(batch: Sequence[Receipt]) -> list[dict[str, Any]]:
        return [_result("confirmed", shown) for shown in confirm(access, batch, now=database_now())]

    return _in_batches(told, confirm_batch)


def _in_batches(
    rows: Sequence[Row | DomainError], work: Callable[[Sequence[Row]], list[dict[str, Any]]]
) -> dict[str, Any]:
    readable = [row for row in rows if not isinstance(row, DomainError)]
    batches = (readable[start : start + BULK_BATCH] for start in range(0, len(readable), BULK_BATCH))
    done = iter([result for batch in batches for result in work(batch)])
    return {"results": [_result("", row) if isinstance(row, DomainError) else next(done) for row in rows]}


def _result(outcome: str, shown: Shown | DomainError) -> dict[str, Any]:
    if isinstance(shown, DomainError):
        return {"outcome": "refused", "problem": problem(shown)}
    return {"outcome": outcome, "order": shown}
