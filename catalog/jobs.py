"""Jobs, which beat asks for: one run of each at a time, every run written down, and which of them are late.

    @shared_task
    @job("clean-up")
    def clean_up() -> int: ...

A job's name and how often it runs stand in settings.SCHEDULE. It returns how many rows it changed or found.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection

from catalog.models import JobRun
from orders_project.clock import database_now
from orders_project.locks import lock
from orders_project.logs import about, telling, without_secrets
from orders_project.rows import select

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=UUID | None)

Outcome = JobRun.Outcome

LONGEST_RUN = timedelta(seconds=settings.CELERY_TASK_TIME_LIMIT)
# The lock of a worker that was killed keeps nobody waiting for much longer than this, or a period of the job.
SHORTEST_LOCK = timedelta(seconds=30)
# How long after two periods a job is late: a worker that starts, or has much to do, may skip a tick.
SLACK = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class LateJob:
    """A job that has not been started in time: since when not, and how often it should be."""

    job: str
    since: datetime
    every: timedelta


def job(name: str) -> Callable[[Callable[[], int]], Callable[[], int]]:
    """Make a function a job of the schedule: calling it is a `run` of it."""
    _every(name)  # a name that the schedule doesn't know fails here

    def decorate(work: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(work)
        def task() -> int:
            about(job=name)
            return run(name, work)

        return task

    return decorate


def run(name: str, work: Callable[[], int], *, business_id: UUID | None = None) -> int:
    """Do the work of a job, for one business or for all of them, unless somebody is doing just that.

    Returns how many rows it changed or found: 0, and nothing is written down, where somebody else does it. The
    lock spares work and no more. It is gone when a run takes longer than it lasts, and with Redis away there is
    none, so the work must be right when it is done twice at once.
    Raises what the work raises, having written it down.
    """
    lasts = min(max(_every(name), SHORTEST_LOCK), LONGEST_RUN)
    database = connection.settings_dict["NAME"]  # others may keep their locks in the same Redis
    with lock(f"job {database} {name} {business_id or ''}", seconds=lasts.total_seconds()) as ours:
        if not ours:
            return 0
        this = _begin(name, business_id)
        try:
            rows = work()
        except Exception as error:  # whatever it is, people see it among the runs, and Celery logs it
            # The first line alone, and no secret: the page of jobs shows it.
            first_line = f"{type(error).__name__}: {error}".splitlines()[0]
            _end(this, Outcome.FAILED, error=without_secrets(first_line)[:2000])
            raise
        _end(this, Outcome.DONE, rows=rows)
        return rows


def run_for_each(name: str, work: Callable[[UUID], int]) -> int:
    """`run` the work of a job for one business after the other. The one that waits longest is first, so that a run
    that is cut off costs nobody their turn.

    Returns and raises what `for_each` does.
    """
    businesses = [business_id for (business_id,) in select(LONGEST_AGO, name)]
    return for_each(
        businesses,
        lambda business_id: run(name, functools.partial(work, business_id), business_id=business_id),
    )


LONGEST_AGO = """
    SELECT business.id FROM catalog_business AS business LEFT JOIN (
        SELECT business_id, max(started_at) AS at FROM catalog_jobrun WHERE job = %s GROUP BY business_id
    ) AS last ON last.business_id = business.id
    ORDER BY last.at NULLS FIRST, business.id
"""


def for_each(businesses: Iterable[B], work: Callable[[B], int]) -> int:
    """Do the work for one business after the other; None is Holdfast itself. Returns how many rows it was in all.

    One that fails, however it fails, stops no other: it is logged, and RuntimeError is raised when all had their
    turn. A run whose time is up goes on with none.
    """
    rows, failed = 0, 0
    for business_id in businesses:
        with telling(**({"business": str(business_id)} if business_id else {})):
            try:
                rows += work(business_id)
            except SoftTimeLimitExceeded:
                raise
            except Exception:  # whatever it is: the other businesses have nothing to do with it
                logger.exception("It failed for business %s.", business_id)
                failed += 1
    if failed:
        raise RuntimeError(f"It failed for {failed} of the businesses.")
    return rows


def _begin(name: str, business_id: UUID | None) -> JobRun:
    """Write down that a run begins, and of those whose worker died that they came to nothing."""
    now = database_now()
    unfinished = JobRun.objects.unfinished(name, business_id)
    unfinished.filter(started_at__lt=now - LONGEST_RUN).update(
        outcome=Outcome.FAILED, ended_at=now, error="It was cut off: its worker died."
    )
    return JobRun.objects.create(job=name, business_id=business_id, started_at=now)


def _end(this: JobRun, outcome: Outcome, *, rows: int = 0, error: str = "") -> None:
    JobRun.objects.filter(id=this.id).update(outcome=outcome, ended_at=database_now(), rows=rows, error=error)


# Of each job its last run, which the index has at hand: so it doesn't matter how many there were.
LAST_RUNS = """
    SELECT run.* FROM unnest(%s::text[]) AS name, LATERAL (
        SELECT * FROM catalog_jobrun
        WHERE job = name AND business_id IS NOT DISTINCT FROM %s
        ORDER BY started_at DESC LIMIT 1
    ) AS run
"""


def last_runs(business_id: UUID | None = None) -> dict[str, JobRun]:
    """The last run of each job of the schedule that was ever run: for all businesses, or for this one alone,
    where a job goes by business."""
    runs = JobRun.objects.raw(LAST_RUNS, [list(settings.SCHEDULE), business_id])
    return {run.job: run for run in runs}


def waiting_since(runs: Mapping[str, JobRun]) -> dict[str, datetime]:
    """Since when each job of the schedule is waited for, given the last runs: since its last start or, if it never
    ran, since the database was last migrated, as for a new installation and mostly for a release with new jobs."""
    since = {name: run.started_at for name, run in runs.items()}
    if settings.SCHEDULE.keys() - since:
        ((migrated_at,),) = select("SELECT max(applied) FROM django_migrations")
        return dict.fromkeys(settings.SCHEDULE, migrated_at) | since
    return since


def late_jobs(now: datetime, runs: Mapping[str, JobRun] | None = None) -> list[LateJob]:
    """The jobs that have been waited for longer than two periods and a bit, as when their worker is dead. `runs`
    are the last ones, for who has them. One that fails is not late."""
    since = waiting_since(last_runs() if runs is None else runs)
    jobs = [LateJob(name, since[name], _every(name)) for name in settings.SCHEDULE]
    return [job for job in jobs if job.since + 2 * job.every + SLACK < now]


def _every(name: str) -> timedelta:
    _, seconds = settings.SCHEDULE[name]
    return timedelta(seconds=seconds)
