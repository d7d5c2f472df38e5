"""What works in the background: when each job ran last, and every run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Case, F, QuerySet, When
from django.http import HttpRequest, HttpResponseBase

from catalog.authentication import Access
from catalog.jobs import LateJob, last_runs, late_jobs
from catalog.models import JobRun
from catalog.staff import staff_page
from orders.staff.page import choice, show, taken_out, turn_page


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the schedule, its last run for this business or for all, and whether it should have run since."""

    name: str
    every: timedelta
    last: JobRun | None
    is_late: bool

    @property
    def period(self) -> str:
        seconds = round(self.every.total_seconds())
        for unit, size in (("h", 3600), ("min", 60)):
            if seconds % size == 0:
                return f"{seconds // size} {unit}"
        return f"{seconds} s"


def jobs_of(runs: Mapping[str, JobRun], late: Iterable[LateJob]) -> list[Job]:
    """Every job of the schedule, with the last run of each and those that are late."""
    are_late = {job.job for job in late}
    return [
        Job(name, timedelta(seconds=seconds), runs.get(name), name in are_late)
        for name, (_, seconds) in settings.SCHEDULE.items()
    ]


@staff_page
def jobs(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The jobs, and their runs for this business or for all, the newest first."""
    job = choice(request, "job", settings.SCHEDULE, "")
    outcome = choice(request, "outcome", JobRun.Outcome.values, "")
    runs = _runs(request, access, job, outcome)
    if request.GET.get("format") == "csv":
        lines = runs.order_by("-started_at").values_list(*CSV, "told_rows", "told_error")
        return taken_out(access, "jobs", [*CSV, "rows", "error"], lines.iterator())
    page, older = turn_page(runs, "started_at", request.GET.get("before", ""))
    last = last_runs()
    return show(
        request,
        access,
        "staff/jobs.html",
        title="Jobs",
        question="Does everything run that should?",
        jobs=jobs_of(last | last_runs(access.business.id), late_jobs(access.now, last)),
        runs=page,
        older=older,
        job=job,
        outcome=outcome,
        outcomes=JobRun.Outcome.choices,
    )


def _runs(request: HttpRequest, access: Access, job: str, outcome: str) -> QuerySet[JobRun]:
    """The runs, with what is told of their rows and errors: a run for all businesses may speak of another one, so
    only who runs Holdfast is told."""

    def told(field: str) -> Case | F:
        return F(field) if request.user.is_superuser else Case(When(business__isnull=False, then=field))

    runs = JobRun.objects.of(access.business.id).annotate(told_rows=told("rows"), told_error=told("error"))
    if job:
        runs = runs.filter(job=job)
    if outcome:
        runs = runs.filter(outcome=outcome)
    return runs


CSV = ("job", "started_at", "ended_at", "outcome")
