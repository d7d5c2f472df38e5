"""What tests of orders and of the staff pages may use besides."""

from datetime import datetime

import pytest

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.models import Alert, Business
from factories import place, product
from orders.models import Discrepancy
from orders.tests.browser import chromium, jobs_ran, owner, page, worker
from orders_project import transactions

__all__ = ["chromium", "jobs_ran", "owner", "page", "worker"]


@pytest.fixture
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What collides reaches the client: so a deadlock is seen, and not mended by another try."""
    monkeypatch.setattr(transactions, "ATTEMPTS", 1)


@pytest.fixture
def actions(shop: Business, now: datetime) -> dict[str, dict[str, str]]:
    """Every button of the pages, by its address, with what it sends."""
    product(shop)
    order = place(shop, ("MUG-01", 2))
    settle(
        business_id=shop.id,
        kinds=[Kind.REFUSALS],
        conditions=[Condition(Kind.REFUSALS, Severity.WARNING, "Many are refused")],
        now=now,
    )
    alert = Alert.objects.get(business=shop)
    finding = Discrepancy.objects.create(
        business=shop, invariant="I6", subject=str(order.id), found="Odd", found_at=now, seen_at=now
    )
    return {
        f"/staff/holds/{order.id}/extend/": {"minutes": "5", "reason": "they asked"},
        f"/staff/holds/{order.id}/release/": {"reason": "they left"},
        f"/staff/alerts/{alert.id}/acknowledge/": {},
        f"/staff/alerts/{alert.id}/take-back/": {},
        f"/staff/alerts/{alert.id}/snooze/": {"hours": "8"},
        f"/staff/alerts/{alert.id}/wake/": {},
        f"/staff/findings/{finding.id}/remedy/": {"remedy": "none"},
    }
