"""Books that don't agree, what they were found to be, and what sets them right."""

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase

from catalog.authentication import Access
from catalog.jobs import last_runs
from catalog.rights import Right
from catalog.staff import staff_action, staff_page
from orders.models import Discrepancy
from orders.reconciliation import ADVICE, apply_remedy
from orders.staff.page import choice, links_to, show, taken_out, turn_page

STATES = {"open": "open", "applied": "set right", "gone": "agree again", "all": "all"}
EMPTY = {
    "open": "The books agree. Every quarter of an hour they are compared: shelves with the ledger, holds with "
    "what is reserved, payments with orders. What doesn’t agree appears here.",
    "applied": "Nothing had to be set right yet. What somebody sets right appears here, with who did it.",
    "gone": "Nothing yet. A finding appears here when the books agree again by themselves.",
    "all": "Nothing was ever found. What doesn’t agree appears here, and stays when it was set right.",
}

# What each of the books says, in the order in which it is read.
SAID = {
    "stock_quantity": "On the shelf",
    "reserved_stock": "Reserved",
    "holds": "By its holds",
    "ledger": "By the ledger",
}


@staff_page
def findings(request: HttpRequest, access: Access) -> HttpResponseBase:
    """What reconciliation found, the newest first: what is still off, unless it says otherwise."""
    state = choice(request, "state", STATES, "open")
    found = Discrepancy.objects.of(access.business.id)
    if state != "all":
        found = found.filter(status=state)
    if request.GET.get("format") == "csv":
        return taken_out(access, "findings", CSV, found.order_by("-found_at").values_list(*CSV).iterator())
    page, older = turn_page(found, "found_at", request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/findings.html",
        title="Findings",
        question="Do the books agree?",
        findings=page,
        links=links_to([finding.subject for finding in page], access),
        advice=ADVICE,
        said=SAID,
        older=older,
        state=state,
        states=STATES,
        empty=EMPTY[state],
        reconciled=last_runs(access.business.id).get("stock-reconciliation"),
    )


CSV = (
    "found_at",
    "invariant",
    "subject",
    "found",
    "evidence",
    "status",
    "applied",
    "closed_at",
    "closed_by",
)


@staff_action(Right.STOCK)
def remedy(request: HttpRequest, access: Access, finding_id: UUID) -> str:
    """Set books right in one of the ways that a finding offers."""
    found = apply_remedy(
        business_id=access.business.id,
        discrepancy_id=finding_id,
        remedy=request.POST.get("remedy", ""),
        actor=access.actor,
        now=access.now,
    )
    return f"Set right: {found.found}"
