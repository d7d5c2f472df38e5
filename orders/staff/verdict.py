"""Is the stock healthy? The answer, and everything that stands against it, as of this moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from catalog.authentication import Access
from catalog.jobs import LateJob
from catalog.models import Alert
from catalog.watching import OFTEN
from orders.models import Discrepancy
from orders.staff.page import link
from orders.tidying import OVERDUE_AFTER
from orders.watching import drift_severity, impossible_stock
from reservations.models import StockReservation

Severity = Alert.Severity


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


def verdict(access: Access, late: Sequence[LateJob]) -> Verdict:
    """What stands against the stock now, with the jobs that are late.

    It is asked anew each time rather than taken from the alerts alone, which a dead worker wouldn't raise.
    """
    business_id, now = access.business.id, access.now
    reasons = []

    def against(count: int, one: str, many: str, page: str, severity: Severity) -> None:
        if count:
            text = one if count == 1 else f"{count:,} {many}"
            reasons.append(Reason(text, link(page, access), severity))

    against(
        len(list(impossible_stock(business_id))),
        "Of one product more is promised than there is.",
        "products have more promised than there is.",
        "findings",
        Severity.CRITICAL,
    )
    unequal = Discrepancy.objects.of(business_id).open()
    by_rule = dict(unequal.values_list("invariant").annotate(Count("id")))
    against(
        sum(by_rule.values()),
        "Reconciliation found books that don’t agree.",
        "books don’t agree, says reconciliation.",
        "findings",
        drift_severity(by_rule),
    )
    against(
        StockReservation.objects.of(business_id).overdue(now - OVERDUE_AFTER).count(),
        "One hold is overdue: the sweep did not end it.",
        "holds are overdue: the sweep did not end them.",
        "holds",
        Severity.CRITICAL,
    )
    against(
        len(late),
        f"The job {late[0].job} has not run in time." if late else "",
        "jobs have not run in time: the worker or beat may be dead.",
        "jobs",
        Severity.CRITICAL if any(job.every < OFTEN for job in late) else Severity.WARNING,
    )
    # The other alerts are of what is asked here itself, of what is sold out, or of money owed.
    refusals = Alert.objects.only_of(business_id).filter(kind=Alert.Kind.REFUSALS).unheard(now)
    reasons += [Reason(alert.title, link("alerts", access), Severity(alert.severity)) for alert in refusals]
    return Verdict(sorted(reasons, key=lambda reason: reason.severity != Severity.CRITICAL))
