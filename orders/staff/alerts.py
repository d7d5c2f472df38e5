"""What a person should know of; and that they do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase

from catalog import alerts as catalog
from catalog.authentication import Access
from catalog.models import Alert
from catalog.querysets import AlertQuerySet
from catalog.rights import Right
from catalog.staff import staff_action, staff_page
from orders.staff.page import choice, link, links_to, show, taken_out, turn_page
from orders_project.errors import InvalidRequest

STATES = {"open": "open", "closed": "over", "all": "all"}
EMPTY = {
    "open": "What you should know of appears here, and goes when it is over.",
    "closed": "An alert appears here when what it told of is over.",
    "all": "What you should know of appears here, and stays when it is over.",
}
SNOOZES = {"1": "1 hour", "8": "8 hours", "24": "a day", "168": "a week"}


@staff_page
def alerts(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The alerts of the business and of Holdfast itself, the newest first: open ones, unless it says otherwise."""
    state = choice(request, "state", STATES, "open")
    kind = choice(request, "kind", Alert.Kind.values, "")
    found = _found(access, state, kind)
    if request.GET.get("format") == "csv":
        return taken_out(access, "alerts", CSV, found.order_by("-opened_at").values_list(*CSV).iterator())
    page, older = turn_page(found, "opened_at", request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/alerts.html",
        title="Alerts",
        question="What should I know of?",
        older=older,
        state=state,
        states=STATES,
        empty=EMPTY[state],
        kind=kind,
        kinds=Alert.Kind.choices,
        **rows_of(page, access),
    )


# Where there is something to do of an alert, besides what it is about.
PAGES = {Alert.Kind.DRIFT: "findings", Alert.Kind.HOLDS_OVERDUE: "holds", Alert.Kind.JOB_LATE: "jobs"}


def rows_of(alerts: Sequence[Alert], access: Access) -> dict[str, Any]:
    """Alerts as their rows are shown on any page, with the addresses that they lead to."""
    return {
        "alerts": alerts,
        "links": links_to([alert.subject for alert in alerts], access),
        "pages": {kind: (name, link(name, access)) for kind, name in PAGES.items()},
        "snoozes": SNOOZES,
    }


def _found(access: Access, state: str, kind: str) -> AlertQuerySet:
    found = Alert.objects.of(access.business.id)
    if state != "all":
        found = found.filter(closed_at__isnull=state == "open")
    return found.filter(kind=kind) if kind else found


CSV = (
    "opened_at",
    "closed_at",
    "severity",
    "kind",
    "title",
    "subject",
    "facts",
    "times_seen",
    "seen_at",
    "acknowledged_by",
    "acknowledged_at",
    "snoozed_until",
)


@staff_action(Right.ALERTS)
def acknowledge(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Somebody sees to it."""
    alert = catalog.acknowledge(**_of(request, access, alert_id))
    return f"Acknowledged: {alert.title}"


@staff_action(Right.ALERTS)
def take_back(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Nobody sees to it after all: it is heard of again."""
    alert = catalog.acknowledge(acknowledged=False, **_of(request, access, alert_id))
    return f"Nobody sees to it: {alert.title}"


@staff_action(Right.ALERTS)
def snooze(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Not now: it is heard of again after so many hours, if it is still so."""
    hours = request.POST.get("hours", "")
    if hours not in SNOOZES:
        raise InvalidRequest.at("hours", "not_a_choice", "Choose for how long it should be quiet.")
    alert = catalog.snooze(until=access.now + timedelta(hours=int(hours)), **_of(request, access, alert_id))
    return f"Quiet for {SNOOZES[hours]}: {alert.title}"


@staff_action(Right.ALERTS)
def wake(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Now after all: an end to the quiet."""
    alert = catalog.snooze(until=None, **_of(request, access, alert_id))
    return f"Quiet no more: {alert.title}"


def _of(request: HttpRequest, access: Access, alert_id: UUID) -> dict[str, Any]:
    """Which alert it is, and as whom someone answers it: who runs Holdfast answers those about Holdfast too."""
    about_holdfast = Alert.objects.filter(id=alert_id, business=None)
    owns_it = request.user.is_superuser and about_holdfast.exists()
    business_id = None if owns_it else access.business.id
    return {"business_id": business_id, "alert_id": alert_id, "actor": access.actor, "now": access.now}
