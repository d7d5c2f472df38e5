"""Reconciliation: books that don't agree are found, written down with their evidence, and set right by a remedy
that somebody chooses. Nothing is overwritten: a remedy is a line in the ledger, or a count made anew."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from catalog.models import Business, Product
from catalog.wording import spoken, who
from orders.errors import BooksChanged, DiscrepancyClosed, DiscrepancyNotFound
from orders.invariants import Finding, findings
from orders.models import Discrepancy
from orders.services import restate_worth
from orders_project.errors import DomainError, InvalidRequest
from orders_project.ids import new_id
from orders_project.rows import Insert, insert
from orders_project.transactions import one_transaction
from reservations import books
from reservations.books import Books

logger = logging.getLogger(__name__)

Status = Discrepancy.Status

ACTOR = "job:stock-reconciliation"
AT_MOST = 200  # findings of each rule in one run; when they are set right, the next run finds the others

STOCK, HELD, WORTH = "I4", "I2", "I12b"  # what there are remedies for
# What a person can do where there is no remedy, for only they can find out what is true.
ADVICE = {
    STOCK: "Its shelf was deleted in the database by hand. Find it in a backup.",
    HELD: "More is held than the shelf has. Count the shelf: put right what it counts, or release holds.",
    "I6": "Look whether the goods are still there. If not, cancel the order and give the money back.",
    "I7": "Somebody changed the order, its payment or its hold past Holdfast. Cancel it, or ask who did.",
    "I12": "Compare the order’s payments with what your payment provider says.",
    "I14": "Rows were deleted in the database by hand. Find the order in a backup.",
}
RULES = (WORTH, *ADVICE)

KEEP_COUNTER, BACK_TO_LEDGER, HOLD_SUM, RECOUNT = "keep_counter", "back_to_ledger", "hold_sum", "recount"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is off, as a Discrepancy tells it. `evidence` holds the numbers; those of `drift` say by how
    much, and stay the same however much is sold meanwhile. A remedy has a name and a label for its button."""

    rule: str
    subject: str
    found: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedies: Sequence[dict[str, str]] = ()


def reconcile(*, business_id: UUID, now: datetime) -> int:
    """Compare a business's books, write down what doesn't agree, and close what agrees again. What is off by no
    more units than the business allows is set right at once. Returns how many findings there were.

    All is found as of one instant, so nothing half done is taken for a fault. Shelves, whose remedies move units,
    are looked at again with each locked.
    """
    found = findings(at_most=AT_MOST, business_id=business_id, rules=RULES)
    shelves = sorted({UUID(finding.subject) for finding in found if finding.rule in (STOCK, HELD)})
    for product_id in shelves:
        _check_shelf(business_id=business_id, product_id=product_id, now=now)
    others = [_fault(finding) for finding in found if finding.rule not in (STOCK, HELD)]
    counts = Counter(finding.rule for finding in found)
    told_whole = [rule for rule in RULES if counts[rule] < AT_MOST]
    _settle(business_id, others, told_whole, now)
    still_open = Discrepancy.objects.of(business_id).open()
    allowed = Business.objects.values_list("reconcile_up_to", flat=True).get(id=business_id)
    for off in still_open.filter(invariant__in=(HELD, STOCK)).order_by("invariant", "id"):
        if _is_small(off, allowed):
            _apply_unasked(off, now)
    return len(shelves) + len(others)


def _is_small(off: Discrepancy, units: int) -> bool:
    """Whether a shelf is off by so few units that nobody need be asked. Not if the number to choose is the higher
    one, since more is held than the ledger has: whether they are there only a person can see."""
    if not off.remedies or max(map(abs, _drift(off.evidence))) > units:
        return False
    return off.remedies[0]["name"] != KEEP_COUNTER or off.evidence["difference"] < 0


@one_transaction
def _settle(business_id: UUID, faults: Iterable[Fault], told_whole: Collection[str], now: datetime) -> None:
    """Write faults down, and close what was not found any more by those rules that told all they found."""
    _write_down(business_id, faults, now)
    gone = Discrepancy.objects.of(business_id).open().filter(invariant__in=told_whole, seen_at__lt=now)
    gone.update(status=Status.GONE, closed_at=now, closed_by=ACTOR)


def _apply_unasked(off: Discrepancy, now: datetime) -> None:
    first = off.remedies[0]["name"]
    try:
        apply_remedy(business_id=off.business_id, discrepancy_id=off.id, remedy=first, actor=ACTOR, now=now)
    except DomainError as refusal:
        logger.warning("“%s” was not set right: %s", off.found, refusal)


@one_transaction
def _check_shelf(*, business_id: UUID, product_id: UUID, now: datetime) -> None:
    # The findings first and then the shelf, as when a remedy is applied.
    known = Discrepancy.objects.of(business_id).open().filter(subject=str(product_id))
    list(known.order_by("id").select_for_update().values_list("id"))
    there = books.read_books(business_id=business_id, product_id=product_id)
    _write_down(business_id, _shelf_faults(business_id, product_id, there), now)


def _shelf_faults(business_id: UUID, product_id: UUID, there: Books | None) -> list[Fault]:
    """What is off with a product's books."""
    sku = Product.objects.of(business_id).values_list("sku", flat=True).get(id=product_id)
    if there is None:
        return [Fault(STOCK, str(product_id), f"{sku} has no shelf.")]
    return [*_stock_faults(sku, product_id, there), *_hold_faults(sku, product_id, there)]


def _stock_faults(sku: str, product_id: UUID, there: Books) -> Iterable[Fault]:
    counter, ledger = there.stock_quantity, there.ledger_stock
    if counter == ledger:
        return
    keep = {"name": KEEP_COUNTER, "label": f"Keep {_units(counter)} on the shelf, and say so in the ledger"}
    back = {"name": BACK_TO_LEDGER, "label": f"Set the shelf back to {_units(ledger)}, as the ledger says"}
    possible = [keep, back] if ledger >= there.reserved_stock else [keep]
    yield Fault(
        STOCK,
        str(product_id),
        f"{sku}: {_units(counter)} on the shelf, {_units(ledger)} by its ledger.",
        {"stock_quantity": counter, "ledger": ledger, "difference": counter - ledger},
        # The lower number promises nothing that may not be there.
        possible if counter < ledger else possible[::-1],
    )


def _hold_faults(sku: str, product_id: UUID, there: Books) -> Iterable[Fault]:
    counter, ledger, held = there.reserved_stock, there.ledger_reserved, there.held
    if counter == ledger == held:
        return
    hold = {"name": HOLD_SUM, "label": f"Set the reserved units to {_units(held)}, as the holds say"}
    yield Fault(
        HELD,
        str(product_id),
        f"{sku}: {_units(counter)} reserved, {_units(held)} by its holds, {_units(ledger)} by its ledger.",
        {
            "reserved_stock": counter,
            "holds": held,
            "ledger": ledger,
            "difference": counter - held,
            "unexplained": counter - ledger,
        },
        [hold] if held <= there.stock_quantity else [],
    )


def _units(number: int) -> str:
    """12,345, and −3 of a ledger that has lost lines."""
    return f"{number:,}".replace("-", "−")


def _fault(finding: Finding) -> Fault:
    if finding.rule == WORTH:
        recount = {"name": RECOUNT, "label": "Count the customer’s orders again"}
        return Fault(WORTH, finding.subject, f"{finding.found}.", remedies=[recount])
    return Fault(finding.rule, finding.subject, f"{finding.found}.")


def _drift(evidence: dict[str, Any]) -> tuple[int, int]:
    return evidence["difference"], evidence.get("unexplained", 0)


# Open once: what is seen again is brought up to date.
SEEN_AGAIN = """
    ON CONFLICT (business_id, invariant, subject) WHERE status = 'open' DO UPDATE SET
        found = excluded.found, evidence = excluded.evidence, remedies = excluded.remedies,
        seen_at = greatest(orders_discrepancy.seen_at, excluded.seen_at)
"""


def _write_down(business_id: UUID, faults: Iterable[Fault], now: datetime) -> None:
    rows = [
        {
            "id": new_id(),
            "business_id": business_id,
            "invariant": fault.rule,
            "subject": fault.subject,
            "found": fault.found,
            "evidence": fault.evidence,
            "remedies": list(fault.remedies),
            "status": Status.OPEN,
            "found_at": now,
            "seen_at": now,
            "closed_at": None,
            "closed_by": "",
            "applied": "",
        }
        for fault in faults
    ]
    insert(Insert(Discrepancy, rows, SEEN_AGAIN))


@one_transaction
def apply_remedy(
    *, business_id: UUID, discrepancy_id: UUID, remedy: str, actor: str, now: datetime
) -> Discrepancy:
    """Set books right in one of the ways that a finding offers. Of several who try, one does it; who asks for
    what is done already has a success. Returns the finding as it is then.

    Raises DiscrepancyNotFound, DiscrepancyClosed, InvalidRequest for a remedy that it doesn't offer, and
    BooksChanged when they are not off any more as they were found to be.
    """
    off = Discrepancy.objects.of(business_id).filter(id=discrepancy_id).select_for_update().first()
    if off is None:
        raise DiscrepancyNotFound("There is no such finding.", discrepancy=str(discrepancy_id))
    if off.status != Status.OPEN:
        if off.applied == remedy:
            return off
        raise DiscrepancyClosed(
            f"The finding was closed by {who(off.closed_by)}: {spoken(off.applied) or 'the books agree again'}.",
            status=off.status,
            applied=off.applied,
            closed_by=off.closed_by,
        )
    if remedy not in _names(off.remedies):
        raise InvalidRequest.at("remedy", "unknown", "The finding doesn't offer this remedy.")
    if remedy == RECOUNT:
        restate_worth(customer_ids=[UUID(off.subject)], now=now)
    else:
        _set_shelf_right(off, remedy, actor=actor, now=now)
    off.status, off.applied, off.closed_at, off.closed_by = Status.APPLIED, remedy, now, actor
    off.save(update_fields=["status", "applied", "closed_at", "closed_by"])
    return off


def _set_shelf_right(off: Discrepancy, remedy: str, *, actor: str, now: datetime) -> None:
    """Do what a remedy says, if the shelf is off by just so much as was found, whatever was sold since."""
    product_id = UUID(off.subject)
    there = books.read_books(business_id=off.business_id, product_id=product_id)
    faults = {fault.rule: fault for fault in _shelf_faults(off.business_id, product_id, there)}
    fault = faults.get(off.invariant)
    if (
        there is None
        or fault is None
        or _drift(fault.evidence) != _drift(off.evidence)
        or remedy not in _names(fault.remedies)
    ):
        found = fault.found if fault else "The books agree again."
        raise BooksChanged(f"It is not as it was found any more. {found}", found=found)
    stock_quantity = {KEEP_COUNTER: there.stock_quantity, BACK_TO_LEDGER: there.ledger_stock}.get(remedy)
    books.set_right(
        business_id=off.business_id,
        product_id=product_id,
        books=there,
        stock_quantity=stock_quantity,
        reserved_stock=there.held if remedy == HOLD_SUM else None,
        actor=actor,
        reason=fault.found,
        now=now,
    )


def _names(remedies: Iterable[dict[str, str]]) -> set[str]:
    return {remedy["name"] for remedy in remedies}
