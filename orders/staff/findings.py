"""Books that don't agree, what they were found to be, and what sets them right."""

from collections.abc import Sequence
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from catalog.authentication import Access
from catalog.jobs import last_runs
from catalog.models import Business, Product
from catalog.staff import staff_action, staff_page
from orders.models import Discrepancy, Order
from orders.reconciliation import apply_remedy
from orders.staff.page import choice, csv_file, show, turn_page

STATES = {"open": "open", "applied": "set right", "gone": "agree again", "all": "all"}


@staff_page
def findings(request: HttpRequest, access: Access) -> HttpResponseBase:
    """What reconciliation found, the newest first: what is still off, unless it says otherwise."""
    state = choice(request, "state", STATES, "open")
    found = Discrepancy.objects.of(access.business.id)
    if state != "all":
        found = found.filter(status=state)
    if request.GET.get("format") == "csv":
        return csv_file("findings", CSV, found.order_by("-found_at").values_list(*CSV).iterator())
    page, older = turn_page(found, "found_at", request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/findings.html",
        title="Findings",
        question="Do the books agree?",
        findings=page,
        links=_links(access.business, page, with_orders=request.user.has_perm("orders.view_order")),
        older=older,
        state=state,
        states=STATES,
        reconciled=last_runs(access.business.id).get("stock-reconciliation"),
    )


def _links(business: Business, findings: Sequence[Discrepancy], *, with_orders: bool) -> dict[str, str]:
    """Where to look at what each finding is about, by its subject; at orders only for those who may."""
    subjects = [finding.subject for finding in findings]
    of_business = {"business": business, "id__any_of": subjects}
    links = {}
    pages = [(Product, "staff:product"), *([(Order, "admin:orders_order_change")] if with_orders else [])]
    for model, page in pages:
        for key in model._default_manager.filter(**of_business).values_list("id", flat=True):
            links[str(key)] = f"{reverse(page, args=[key])}?business={business.slug}"
    return links


CSV = ("found_at", "invariant", "found", "status", "applied", "closed_at", "closed_by", "subject")


@staff_action
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
