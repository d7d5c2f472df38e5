"""The same step for many orders: what it will do, how far it is, and what became of each."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from kombu.exceptions import OperationalError
from redis import RedisError

from catalog.authentication import Access
from catalog.errors import NotAllowed
from catalog.staff import staff_form, staff_page
from orders import bulk
from orders.bulk import MOST_ORDERS, STEPS
from orders.lifecycle import may_become
from orders.models import BulkRow, BulkRun, Order
from orders.services.paying import BY_HAND
from orders.staff.forms import whole
from orders.staff.holds import reason_in
from orders.staff.page import PAGE, choice, link, show, taken_out, turn_page
from orders.tasks import do_bulk_runs
from orders_project.celery import app
from orders_project.errors import DomainError, InvalidRequest

logger = logging.getLogger(__name__)

Action = BulkRun.Action


def prepare(
    request: HttpRequest, access: Access, action: str, orders: QuerySet[Order] | Iterable[UUID]
) -> HttpResponse:
    """Write down what somebody wants to do with these orders, and lead them to the page that says what it will do.

    What can't be done is said where they come from. Raises PermissionDenied for who has no right to the step.
    """
    try:
        access.check(STEPS[action].right)
        run = bulk.prepare(
            business_id=access.business.id,
            action=action,
            order_ids=_ids(orders),
            actor=access.actor,
            now=access.now,
        )
    except NotAllowed as error:
        raise PermissionDenied(error.detail) from error
    except DomainError as error:
        messages.error(request, error.detail)
        return HttpResponseRedirect(request.get_full_path())
    return HttpResponseRedirect(link("bulk_run", access, run.id))


def _ids(orders: QuerySet[Order] | Iterable[UUID]) -> list[UUID]:
    if isinstance(orders, QuerySet):
        return list(orders.values_list("pk", flat=True)[: MOST_ORDERS + 1])
    return list(orders)


@staff_form
def bulk_run(request: HttpRequest, access: Access, run_id: UUID) -> HttpResponseBase:
    """One run: before it is confirmed what it will do, and the form to confirm or discard it; then how far it is,
    and the answer to each order."""
    run = bulk.find_run(business_id=access.business.id, run_id=run_id)
    refused = ""
    if request.method == "POST":
        access.check(STEPS[run.action].right)
        try:
            return HttpResponseRedirect(_decide(request, access, run))
        except InvalidRequest as error:
            refused = error.detail
    outcome = choice(request, "outcome", BulkRow.Outcome.values, "")
    rows = run.rows.filter(outcome=outcome) if outcome else run.rows.all()
    if request.GET.get("format") == "csv":
        return taken_out(
            access, f"bulk-{run.action}", CSV, rows.order_by("position").values_list(*FIELDS).iterator()
        )
    page = list(
        _after(rows.compared(), request.GET.get("after", "")).select_related("order__customer")[: PAGE + 1]
    )
    counts = _counts([run])[run.id]
    step = STEPS[run.action]
    return show(
        request,
        access,
        "staff/bulk_run.html",
        title=f"{run.get_action_display().capitalize()}: {_orders(counts.total())}",
        question="What became of each?" if run.confirmed_at else "What will it do?",
        run=run,
        step=step,
        may_confirm=step.right in access.rights,
        preview=None if run.confirmed_at else bulk.preview(run),
        can=may_become(step.to),
        counts=counts,
        total=counts.total(),
        ended=counts.total() - counts["waiting"],
        rows=page[:PAGE],
        later=page[PAGE - 1].position if len(page) > PAGE else None,
        outcome=outcome,
        outcomes=BulkRow.Outcome.choices,
        refused=refused,
        typed=request.POST or {"provider": BY_HAND},
    )


FIELDS = ("position", "order__number", "order__customer__name", "outcome", "answer")
CSV = ("position", "order", "customer", "outcome", "answer")


def _orders(count: int) -> str:
    return "one order" if count == 1 else f"{count:,} orders"


def _after(rows: QuerySet[BulkRow], position: str) -> QuerySet[BulkRow]:
    """The rows after a position, or all, in their order. Raises Http404 for what is no position."""
    last = whole(position or "0")
    if last is None:
        raise Http404("There is no such page.")
    return rows.filter(position__gt=last).order_by("position")


def _counts(runs: Iterable[BulkRun]) -> dict[UUID, Counter[str]]:
    """How many rows of each run had which outcome."""
    counts = {run.id: Counter[str]() for run in runs}
    found = BulkRow.objects.filter(run__in=counts).values_list("run", "outcome").annotate(Count("position"))
    for run_id, outcome, count in found:
        counts[run_id][outcome] = count
    return counts


def _decide(request: HttpRequest, access: Access, run: BulkRun) -> str:
    """Confirm or discard a run, as the form says; returns where to go then. Raises InvalidRequest."""
    if "discard" in request.POST:
        try:
            bulk.discard(business_id=access.business.id, run_id=run.id)
        except DomainError as error:
            messages.error(request, error.detail)
            return link("bulk_run", access, run.id)
        messages.success(request, "Discarded: nothing was done.")
        return reverse("admin:orders_order_changelist")
    details = DETAILS[run.action](request)
    bulk.confirm(
        business_id=access.business.id, run_id=run.id, details=details, actor=access.actor, now=access.now
    )
    transaction.on_commit(_ask_worker)
    return link("bulk_run", access, run.id)


# Whoever waits for the page shall not wait for a broker that doesn't answer.
AT_ONCE_OR_NOT = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 1}


def _ask_worker() -> None:
    """Have a worker begin now. With the broker away beat asks in a moment: the rows are the queue."""
    try:
        with app.connection_for_write(transport_options=AT_ONCE_OR_NOT) as broker:
            app.send_task(do_bulk_runs.name, connection=broker, retry=False, expires=60)
    except (OperationalError, RedisError) as error:
        logger.warning("The broker is away, beat will ask for the bulk run: %s", error)


def _payment_in(request: HttpRequest) -> dict[str, str]:
    """By which way the money came, and what stands before the order's number in the reference of each payment."""
    provider, prefix = (request.POST.get(name, "").strip() for name in ("provider", "prefix"))
    if not 0 < len(provider) <= 60 or not provider.isprintable():
        raise InvalidRequest.at("provider", "required", "Say how the money came, in up to 60 characters.")
    if len(prefix) > 60 or not prefix.isprintable():
        raise InvalidRequest.at("prefix", "too_long", "A reference begins with 60 characters at most.")
    return {"provider": provider, "prefix": prefix}


# What each step takes besides the order, from the form.
DETAILS: Mapping[str, Callable[[HttpRequest], dict[str, Any]]] = {
    Action.CONFIRM_PAYMENT: _payment_in,
    Action.START_PROCESSING: lambda request: {},
    Action.DELIVER: lambda request: {},
    Action.CANCEL: lambda request: {"reason": reason_in(request)},
}


@staff_page
def bulk_runs(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The runs of the business, the newest first."""
    runs = BulkRun.objects.of(access.business.id)
    page, older = turn_page(runs, "created_at", request.GET.get("before", ""))
    counts = _counts(page)
    return show(
        request,
        access,
        "staff/bulk_runs.html",
        title="Bulk runs",
        question="What was done to many orders at once?",
        runs=[(run, counts[run.id], counts[run.id].total()) for run in page],
        older=older,
    )
