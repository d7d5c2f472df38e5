"""The page of jobs: who is told what of a run."""

import pytest

from catalog.models import Business, JobRun
from orders.tests.staff import read, rows, signed_in
from orders_project.clock import database_now


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("runs_holdfast", [True, False])
def test_runs_for_all_businesses_are_told_of_to_who_runs_holdfast(shop: Business, runs_holdfast: bool) -> None:
    """That and when they ran, and how it went, everybody sees; their rows and errors may be of another shop's."""
    now = database_now()
    for business, count, error in ((None, 76543, "Of another shop"), (shop, 12345, "Of this shop")):
        JobRun.objects.create(
            business=business,
            job="clean-up",
            started_at=now,
            ended_at=now,
            outcome="failed",
            rows=count,
            error=error,
        )
    JobRun.objects.create(job="stock-watch", started_at=now, rows=87654)
    client = signed_in(shop, None, is_superuser=True) if runs_holdfast else signed_in(shop)
    page = read(client.get("/staff/jobs/", {"job": "clean-up"}))
    of_all = [figure in page for figure in ("76,543", "87,654", "Of another shop")]
    assert (of_all, "12,345" in page, "Of this shop" in page) == ([runs_holdfast] * 3, True, True)
    assert ("87,654" in read(client.get("/staff/stock-health/"))) is runs_holdfast
    in_file = {(run["rows"], run["error"]) for run in rows(client.get("/staff/jobs/", {"format": "csv"}))}
    assert ("12345", "Of this shop") in in_file
    assert (("76543", "Of another shop") in in_file) is runs_holdfast
    assert (("", "") in in_file) is not runs_holdfast
