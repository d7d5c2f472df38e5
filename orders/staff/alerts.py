"""What a person should know of; and that they do."""

from datetime import timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase

from catalog import alerts as catalog
from catalog.authentication import Access
from catalog.models import Alert
from catalog.querysets import AlertQuerySet
from catalog.staff import staff_action, staff_page
from orders.staff.page import choice, csv_file, show, turn_page
from orders_project.errors import InvalidRequest

STATES = {"open": "open", "closed": "over", "all": "all"}
SNOOZES = {"1": "1 hour", "8": "8 hours", "24": "a day", "168": "a week"}


@staff_page
def alerts(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The alerts of the business and of Holdfast itself, the newest first: open ones, unless it says otherwise."""
    state = choice(request, "state", STATES, "open")
    kind = choice(request, "kind", Alert.Kind.values, "")
    found = _found(access, state, kind)
    if request.GET.get("format") == "csv":
        return csv_file("alerts", CSV, found.order_by("-opened_at").values_list(*CSV).iterator())
    page, older = turn_page(found, "opened_at", request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/alerts.html",
        title="Alerts",
        question="What should I know of?",
        alerts=page,
        older=older,
        state=state,
        states=STATES,
        kind=kind,
        kinds=Alert.Kind.choices,
        snoozes=SNOOZES,
    )


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
    "times_seen",
    "seen_at",
    "acknowledged_by",
    "acknowledged_at",
    "snoozed_until",
)


@staff_action
def acknowledge(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Somebody sees to it."""
    alert = catalog.acknowledge(
        business_id=_owner(request, access, alert_id), alert_id=alert_id, actor=access.actor, now=access.now
    )
    return f"Acknowledged: {alert.title}"


@staff_action
def snooze(request: HttpRequest, access: Access, alert_id: UUID) -> str:
    """Not now: it is heard of again after so many hours, if it is still so."""
    hours = request.POST.get("hours", "")
    if hours not in SNOOZES:
        raise InvalidRequest.at("hours", "not_a_choice", "Choose for how long it should be quiet.")
    alert = catalog.snooze(
        business_id=_owner(request, access, alert_id),
        alert_id=alert_id,
        until=access.now + timedelta(hours=int(hours)),
        actor=access.actor,
        now=access.now,
    )
    return f"Quiet for {SNOOZES[hours]}: {alert.title}"


def _owner(request: HttpRequest, access: Access, alert_id: UUID) -> UUID | None:
    """As whom someone answers an alert: who runs Holdfast answers those about Holdfast itself too."""
    about_holdfast = Alert.objects.filter(id=alert_id, business=None)
    runs_holdfast = request.user.is_superuser
    return None if runs_holdfast and about_holdfast.exists() else access.business.id
