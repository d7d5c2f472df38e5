"""Is the stock healthy? The answer, and everything that stands against it, as of this moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q

from catalog.authentication import Access
from catalog.jobs import late_jobs
from catalog.models import Alert, Stock
from catalog.watching import OFTEN
from orders.models import Discrepancy
from orders.staff.page import link
from reservations.models import StockReservation

Severity = Alert.Severity

# A hold that is over by more than two sweeps is one that the sweep has missed.
LATE = timedelta(seconds=2 * settings.SCHEDULE["payment-timeout"][1])

# Alerts that say nothing more about the stock: of what is asked here itself, of what is sold out, of money owed.
TOLD_OTHERWISE = (
    Alert.Kind.IMPOSSIBLE_STOCK,
    Alert.Kind.DRIFT,
    Alert.Kind.HOLDS_OVERDUE,
    Alert.Kind.JOB_LATE,
    Alert.Kind.LOW_STOCK,
    Alert.Kind.OUT_OF_STOCK,
    Alert.Kind.REFUND_DUE,
    Alert.Kind.LATE_PAYMENT,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not as it should be, and where to see more of it."""

    text: str
    link: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Verdict:
    reasons: Sequence[Reason]

    @property
    def colour(self) -> str:
        if any(reason.severity == Severity.CRITICAL for reason in self.reasons):
            return "red"
        return "amber" if self.reasons else "green"

    @property
    def words(self) -> str:
        return {"red": "Stock can’t be trusted", "amber": "Look at this", "green": "All is well"}[self.colour]


def verdict(access: Access) -> Verdict:
    """What stands against the stock now.

    It is asked anew each time rather than taken from the alerts alone, which a dead worker wouldn't raise.
    """
    business_id, now = access.business.id, access.now
    reasons = []

    def against(count: int, one: str, many: str, page: str, severity: Severity) -> None:
        if count:
            text = one if count == 1 else f"{count:,} {many}"
            reasons.append(Reason(text, link(page, access), severity))

    impossible = Stock.objects.of(business_id).filter(
        Q(reserved_stock__lt=0) | Q(reserved_stock__gt=F("stock_quantity"))
    )
    against(
        impossible.count(),
        "One product has more units held than there are.",
        "products have more units held than there are.",
        "findings",
        Severity.CRITICAL,
    )
    against(
        Discrepancy.objects.filter(business_id=business_id, status=Discrepancy.Status.OPEN).count(),
        "Reconciliation found books that don’t agree.",
        "books don’t agree, says reconciliation.",
        "findings",
        Severity.CRITICAL,
    )
    against(
        StockReservation.objects.of(business_id).overdue(now - LATE).count(),
        "One hold is overdue: the sweep is late.",
        "holds are overdue: the sweep is late.",
        "holds",
        Severity.CRITICAL,
    )
    late = late_jobs(now)
    against(
        len(late),
        f"The job {late[0].job} has not run in time." if late else "",
        "jobs have not run in time: the worker or beat may be dead.",
        "jobs",
        Severity.CRITICAL if any(job.every < OFTEN for job in late) else Severity.WARNING,
    )
    alerts = Alert.objects.of(business_id).exclude(kind__in=TOLD_OTHERWISE)
    # What a person has seen to, or put to sleep, doesn't worry them again; unless it is critical.
    worrying = alerts.open().filter(severity=Severity.CRITICAL) | alerts.unheard(now).filter(
        severity=Severity.WARNING
    )
    reasons += [
        Reason(alert.title, link("alerts", access), Severity(alert.severity))
        for alert in worrying.order_by("-opened_at")[:5]
    ]
    return Verdict(sorted(reasons, key=lambda reason: reason.severity != Severity.CRITICAL))
