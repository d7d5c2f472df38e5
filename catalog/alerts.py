"""Alerts: each opens once, when something begins to be so, and closes itself when it is over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F

from catalog.errors import AlertClosed, AlertNotFound, NotAllowed
from catalog.live import feed
from catalog.models import Alert
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

Kind = Alert.Kind
Severity = Alert.Severity

LONGEST_SNOOZE = timedelta(days=30)
# How often an alert notes that it is still so: the watch comes by more often, mostly to find what is known.
NOTED_EVERY = timedelta(minutes=1)

RANKS = {Severity.NOTICE: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}

# As an alert is that nobody has heard of.
UNHEARD: dict[str, Any] = {
    "acknowledged_at": None,
    "acknowledged_by": "",
    "snoozed_until": None,
    "snoozed_by": "",
    "emailed_at": None,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so, and that a person should know of. Facts are JSON values."""

    kind: Kind
    severity: Severity
    title: str
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@one_transaction
def settle(
    *,
    business_id: UUID | None,
    kinds: Iterable[Kind],
    conditions: Iterable[Condition],
    now: datetime,
    subjects: Iterable[str] | None = None,
) -> None:
    """Make the open alerts of these kinds, and of these subjects if any are named, those of the conditions: what
    is new opens, what is still so is noted, what is over closes.

    An alert that gets worse is heard anew: whoever acknowledged it or put it to sleep didn't know of that.
    Safe to call twice at once: one of the two opens an alert, and the live feed tells of it once. `now` is from
    before the conditions were asked for: what others have found since then is news to them, and stays open.
    """
    found = {(condition.kind, condition.subject): condition for condition in conditions}
    open_ones = Alert.objects.only_of(business_id).open().filter(kind__in=kinds)
    if subjects is not None:
        open_ones = open_ones.filter(subject__any_of=subjects)
    known = {(alert.kind, alert.subject): alert for alert in open_ones}
    _open(business_id, [condition for key, condition in found.items() if key not in known], now)
    _note([(known[key], condition) for key, condition in found.items() if key in known], now)
    _close([alert for key, alert in known.items() if key not in found], now)


def _open(business_id: UUID | None, conditions: Sequence[Condition], now: datetime) -> None:
    if not conditions:
        return
    new = [
        Alert(
            business_id=business_id,
            kind=condition.kind,
            subject=condition.subject,
            severity=condition.severity,
            title=condition.title,
            facts=condition.facts,
            opened_at=now,
            seen_at=now,
        )
        for condition in sorted(conditions, key=lambda condition: (condition.kind, condition.subject))
    ]
    Alert.objects.bulk_create(new, ignore_conflicts=True)  # what somebody else has just opened stays theirs
    for alert in Alert.objects.filter(id__any_of=[alert.id for alert in new]):
        feed.publish(business_id, "alert.opened", _told(alert))


def _note(still_so: Sequence[tuple[Alert, Condition]], now: datetime) -> None:
    changed = []
    for alert, condition in still_so:
        if (alert.title, alert.facts) != (condition.title, condition.facts):
            alert.title, alert.facts = condition.title, dict(condition.facts)
            changed.append(alert)
    Alert.objects.bulk_update(changed, ["title", "facts"], batch_size=500)
    for severity, rank in RANKS.items():
        alike = [alert for alert, condition in still_so if condition.severity == severity]
        if worse := [alert.id for alert in alike if RANKS[Severity(alert.severity)] < rank]:
            Alert.objects.filter(id__any_of=worse).update(severity=severity, **UNHEARD)
    if due := [alert.id for alert, _ in still_so if alert.seen_at <= now - NOTED_EVERY]:
        Alert.objects.filter(id__any_of=due).update(seen_at=now, times_seen=F("times_seen") + 1)


def _close(over: Sequence[Alert], now: datetime) -> None:
    if not over:
        return
    still = Alert.objects.filter(id__any_of=[alert.id for alert in over]).open()
    ours = list(still.filter(seen_at__lte=now).lock())
    Alert.objects.filter(id__any_of=[alert.id for alert in ours]).update(closed_at=now)
    for alert in ours:  # not those that somebody else has closed meanwhile
        feed.publish(alert.business_id, "alert.closed", {**_told(alert), "closed_at": now})


def _told(alert: Alert) -> dict[str, Any]:
    """What the live feed tells of an alert."""
    return {
        "alert": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "subject": alert.subject,
        "title": alert.title,
        "facts": alert.facts,
        "opened_at": alert.opened_at,
    }


# --- What people do with them ------------------------------------------------------------------


def find_alert(*, business_id: UUID | None, alert_id: UUID, locked: bool = False) -> Alert:
    """An alert of a business, or about Holdfast itself; without a business, only one of the latter.

    Raises AlertNotFound.
    """
    visible = Alert.objects.only_of(None) if business_id is None else Alert.objects.of(business_id)
    found = visible.filter(id=alert_id)
    alert = (found.lock() if locked else found).first()
    if alert is None:
        raise AlertNotFound("There is no such alert.", alert=str(alert_id))
    return alert


def _to_answer(business_id: UUID | None, alert_id: UUID) -> Alert:
    """The alert, locked, for who may answer it."""
    alert = find_alert(business_id=business_id, alert_id=alert_id, locked=True)
    if alert.business_id != business_id:
        raise NotAllowed("This alert is about Holdfast itself; who runs Holdfast answers it.", alert=str(alert_id))
    if alert.closed_at is not None:
        raise AlertClosed(
            "This alert is closed: what it told of is over.",
            alert=str(alert_id),
            closed_at=alert.closed_at.isoformat(),
        )
    return alert


@one_transaction
def answer(
    *, business_id: UUID | None, alert_id: UUID, said: Mapping[str, Any], actor: str, now: datetime
) -> Alert:
    """`acknowledge` the alert if `acknowledged` is said, `snooze` it if `snoozed_until` is: all of it or nothing.

    Raises what they raise.
    """
    alert = _to_answer(business_id, alert_id)
    whose: dict[str, Any] = {"business_id": business_id, "alert_id": alert_id, "actor": actor, "now": now}
    if "acknowledged" in said:
        alert = acknowledge(acknowledged=said["acknowledged"], **whose)
    if "snoozed_until" in said:
        alert = snooze(until=said["snoozed_until"], **whose)
    return alert


@one_transaction
def acknowledge(
    *, business_id: UUID | None, alert_id: UUID, actor: str, now: datetime, acknowledged: bool = True
) -> Alert:
    """Somebody has seen the alert and sees to it, or, with `acknowledged` False, takes that back. The first who
    says so is the one who is named.

    Raises AlertNotFound, AlertClosed, and NotAllowed for a business that answers an alert about Holdfast itself.
    """
    alert = _to_answer(business_id, alert_id)
    if acknowledged != (alert.acknowledged_at is not None):
        alert.acknowledged_at = now if acknowledged else None
        alert.acknowledged_by = actor if acknowledged else ""
        alert.save(update_fields=["acknowledged_at", "acknowledged_by"])
    return alert


@one_transaction
def snooze(
    *, business_id: UUID | None, alert_id: UUID, until: datetime | None, actor: str, now: datetime
) -> Alert:
    """Don't remind anybody of the alert `until` then, and tell of it again if it is still so; None wakes it.

    Raises AlertNotFound, AlertClosed, NotAllowed as `acknowledge` does, InvalidRequest for an instant that is
    over, or more than LONGEST_SNOOZE ahead.
    """
    alert = _to_answer(business_id, alert_id)
    if until is not None and not now < until <= now + LONGEST_SNOOZE:
        raise InvalidRequest.at(
            "snoozed_until",
            "out_of_range",
            f"An alert can sleep for {LONGEST_SNOOZE.days} days at most, from now.",
        )
    alert.snoozed_until = until
    alert.snoozed_by = actor if until else ""
    alert.save(update_fields=["snoozed_until", "snoozed_by"])
    return alert
