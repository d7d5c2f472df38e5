"""Jobs: one run at a time, every run written down, and which of them are late."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from catalog.jobs import job, last_runs, late_jobs, run, run_for_each
from catalog.models import Business, JobRun
from catalog.stock import ShelfShort
from factories import BusinessFactory
from orders_project import locks
from orders_project.celery import app
from orders_project.logs import JsonLines

HOUR = timedelta(hours=1)
NAME = "clean-up"


def runs(shop):
    """The runs of a job for the shop, oldest first: outcome, rows and error."""
    return list(
        JobRun.objects.filter(job=NAME, business=shop)
        .order_by("started_at", "id")
        .values_list("outcome", "rows", "error")
    )


def lock_of(shop):
    (key,) = locks._client().keys(f"lock:job * {NAME} {shop.id}")
    return key


def stands_in_its_way(shop):
    """A run that goes on until it is told to end: the thread, and what tells it."""
    begun, end = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert end.wait(timeout=60)
        return 1

    def other():
        try:
            run(NAME, work, business_id=shop.id)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(timeout=60)
    return thread, end


@pytest.mark.usefixtures("db")
def test_job_is_a_run_of_all_businesses(now):
    @job(NAME)
    def clean_up() -> int:
        """What it does."""
        return 7

    assert (clean_up.__name__, clean_up.__doc__) == ("clean_up", "What it does.")
    assert clean_up() == 7
    last = last_runs()[NAME]
    assert (last.business, last.outcome, last.rows, last.error) == (None, "done", 7, "")
    assert now <= last.started_at <= last.ended_at


def test_job_that_the_schedule_does_not_know():
    with pytest.raises(KeyError):
        job("clean-upp")


@pytest.mark.usefixtures("db")
def test_run_of_one_business_is_its_own(shop):
    other = BusinessFactory()
    run(NAME, lambda: 1, business_id=shop.id)
    run(NAME, lambda: 2, business_id=other.id)
    assert last_runs(shop.id)[NAME].rows == 1
    assert last_runs(other.id)[NAME].rows == 2
    assert NAME not in last_runs() or last_runs()[NAME].business is None


@pytest.mark.usefixtures("db")
def test_run_that_fails_is_written_down_and_raised(shop):
    """Celery shows it; of what the database says only the first line is kept, for the next quotes the row."""

    def fail():
        raise ValueError("It went wrong.\nDETAIL: Key (phone)=(+447700900123) already exists.")

    with pytest.raises(ValueError, match="It went wrong"):
        run(NAME, fail, business_id=shop.id)
    assert runs(shop) == [("failed", 0, "ValueError: It went wrong.")]
    assert run(NAME, lambda: 3, business_id=shop.id) == 3  # nothing is left locked
    assert runs(shop)[1:] == [("done", 3, "")]


@pytest.mark.usefixtures("db")
def test_run_that_fails_tells_no_secret(shop):
    """The page of jobs shows what went wrong."""

    def fail():
        raise ValueError("No answer from redis://:s3cret@redis.example/1 for ada@mail.example.")

    with pytest.raises(ValueError, match="No answer"):
        run(NAME, fail, business_id=shop.id)
    assert runs(shop) == [("failed", 0, "ValueError: No answer from redis://…@redis.example/1 for …@….")]


@pytest.mark.usefixtures("committed")
def test_run_while_another_runs_does_nothing(shop):
    thread, end = stands_in_its_way(shop)
    assert run(NAME, lambda: 5, business_id=shop.id) == 0
    assert run(NAME, lambda: 5, business_id=BusinessFactory().id) == 5
    assert runs(shop) == [("running", 0, "")]
    end.set()
    thread.join()
    assert run(NAME, lambda: 5, business_id=shop.id) == 5
    assert runs(shop) == [("done", 1, ""), ("done", 5, "")]


@pytest.mark.usefixtures("committed")
def test_run_whose_lock_is_lost_goes_on_and_leaves_the_next_its_own(shop):
    """As when a run takes longer than the lock lasts, or Redis lost it: two run at once, and both are kept."""
    thread, end = stands_in_its_way(shop)
    locks._client().delete(lock_of(shop))

    def meanwhile():
        end.set()
        thread.join()
        assert lock_of(shop)  # it was not given back by the one who had lost it
        return 2

    assert run(NAME, meanwhile, business_id=shop.id) == 2
    assert runs(shop) == [("done", 1, ""), ("done", 2, "")]


@pytest.mark.usefixtures("db", "redis_away")
def test_run_with_redis_away(shop):
    assert run(NAME, lambda: run(NAME, lambda: 2, business_id=shop.id), business_id=shop.id) == 2
    assert [outcome for outcome, *_ in runs(shop)] == ["done", "done"]


@pytest.mark.usefixtures("db")
def test_run_during_which_redis_is_stopped(shop, own_redis):
    def work():
        assert lock_of(shop)
        own_redis.kill()
        own_redis.wait()
        return 4

    assert run(NAME, work, business_id=shop.id) == 4
    assert run(NAME, lambda: 5, business_id=shop.id) == 5
    assert runs(shop) == [("done", 4, ""), ("done", 5, "")]


@pytest.mark.usefixtures("db")
def test_run_whose_worker_died_is_written_down_by_the_next(shop, now):
    """A worker killed in the middle could not say how its run ended. One that runs just now is left alone."""
    for ago in (HOUR, timedelta(seconds=1)):
        JobRun.objects.create(job=NAME, business=shop, started_at=now - ago)
    run(NAME, lambda: 1, business_id=shop.id)
    assert runs(shop) == [
        ("failed", 0, "It was cut off: its worker died."),
        ("running", 0, ""),
        ("done", 1, ""),
    ]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("name", "seconds"), [("payment-timeout", 30), ("clean-up", 300)])
def test_run_whose_worker_died_keeps_the_next_not_waiting_for_long(shop, name, seconds):
    """Its lock ends by itself: after a period of the job, but not before a busy moment is over, nor much later."""

    def milliseconds_left():
        (key,) = locks._client().keys(f"lock:job * {name} {shop.id}")
        return locks._client().pttl(key)

    assert (seconds - 10) * 1000 < run(name, milliseconds_left, business_id=shop.id) <= seconds * 1000


@pytest.mark.usefixtures("db")
def test_run_for_each_business_in_turn():
    """The one that waits longest first, so that a run that is cut off costs nobody their turn."""
    turns = []

    def work(business_id):
        turns.append(business_id)
        return 1

    first = BusinessFactory()
    assert run_for_each(NAME, work) == len(turns)
    second = BusinessFactory()
    turns.clear()
    run_for_each(NAME, work)
    assert turns.index(second.id) < turns.index(first.id)
    assert last_runs(second.id)[NAME].rows == 1


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("error", [Business.DoesNotExist, ShelfShort, KeyError])
def test_run_for_each_business_one_that_fails_stops_no_other(shop, error):
    """However it fails."""
    other = BusinessFactory()

    def work(business_id):
        if business_id == shop.id:
            raise error("Too much at once.")
        return 1

    with pytest.raises(RuntimeError, match="1 of the businesses"):
        run_for_each(NAME, work)
    [(outcome, _, told)] = runs(shop)
    assert (outcome, told.split(":")[0]) == ("failed", error.__name__)
    assert runs(other) == [("done", 1, "")]


@pytest.mark.usefixtures("db")
def test_run_for_each_business_whose_time_is_up_goes_on_with_none(shop):
    turns = []

    def work(business_id):
        turns.append(business_id)
        raise SoftTimeLimitExceeded

    BusinessFactory()
    with pytest.raises(SoftTimeLimitExceeded):
        run_for_each(NAME, work)
    assert len(turns) == 1


@pytest.mark.usefixtures("db")
def test_lines_of_a_job_tell_whose_turn_it_is(shop):
    def told():
        line = json.loads(JsonLines().format(logging.makeLogRecord({"msg": "It is so"})))
        return line.get("job"), line.get("business")

    lines = []

    @job(NAME)
    def clean_up() -> int:
        run_for_each(NAME, lambda business_id: lines.append((told(), business_id)) or 1)
        lines.append((told(), None))
        return 0

    clean_up()
    assert shop.id in {business_id for _, business_id in lines}
    assert [line for line, _ in lines] == [
        (NAME, str(business_id) if business_id else None) for _, business_id in lines
    ]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", settings.SCHEDULE)
def test_job_that_never_ran_is_due_at_once_and_one_that_just_ran_is_not(now, name):
    """Beat may be started anew more often than a job comes."""

    def is_due():
        return ModelEntry.from_entry(name, app=app, **app.conf.beat_schedule[name]).is_due().is_due

    PeriodicTask.objects.filter(name=name).delete()
    assert is_due()
    PeriodicTask.objects.filter(name=name).update(last_run_at=now)
    assert not is_due()


@pytest.mark.usefixtures("db")
def test_late_jobs_when_the_worker_is_dead_for_an_hour(now):
    """What runs every hour is not late yet."""
    then = now + 24 * HOUR  # after whatever other tests have run
    JobRun.objects.bulk_create(JobRun(job=name, started_at=then - HOUR) for name in settings.SCHEDULE)
    late = late_jobs(then)
    assert {job.job for job in late} == settings.SCHEDULE.keys() - {"clean-up", "customer-scores"}
    assert {job.since for job in late} == {then - HOUR}
    assert {job.every for job in late if job.job == "payment-timeout"} == {timedelta(seconds=5)}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("ago", "late"), [(timedelta(seconds=70), False), (timedelta(seconds=71), True)])
def test_late_jobs_after_two_periods_and_a_minute(now, ago, late):
    then = now + 24 * HOUR
    JobRun.objects.create(job="payment-timeout", started_at=then - ago)
    assert ("payment-timeout" in {job.job for job in late_jobs(then)}) is late


@pytest.mark.usefixtures("db")
def test_late_jobs_one_that_fails_or_runs_is_not_late(shop, now):
    then = now + 24 * HOUR
    JobRun.objects.create(job="payment-timeout", started_at=then)
    JobRun.objects.create(job=NAME, started_at=then, ended_at=then, outcome="failed", error="Broken.")
    assert not {"payment-timeout", NAME} & {job.job for job in late_jobs(then)}
    # That a business is done says nothing of the others.
    JobRun.objects.create(job="stock-reconciliation", business=shop, started_at=then)
    assert "stock-reconciliation" in {job.job for job in late_jobs(then)}


def migrated(at):
    """The database was last migrated then."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET applied = %s", [at])


@pytest.mark.usefixtures("db")
def test_late_jobs_of_a_new_system(now):
    """What never ran is late when it was waited for in vain: a fresh system isn't red at once."""
    JobRun.objects.all().delete()
    migrated(now)
    assert last_runs() == {}
    assert late_jobs(now) == []
    often = min(seconds for _, seconds in settings.SCHEDULE.values())
    patience = timedelta(seconds=2 * often + 60)
    assert late_jobs(now + patience) == []
    late = {job.job for job in late_jobs(now + patience + timedelta(seconds=1))}
    assert late == {name for name, (_, seconds) in settings.SCHEDULE.items() if seconds == often}
    assert len(late_jobs(now + 24 * HOUR)) == len(settings.SCHEDULE)


@pytest.mark.usefixtures("db")
def test_late_jobs_one_that_never_ran_is_late_though_others_run_and_processes_are_new(now):
    """Its waiting is not begun anew with each process, or by the runs of the other jobs."""
    migrated(now - 24 * HOUR)
    JobRun.objects.filter(business=None).delete()
    for name in settings.SCHEDULE.keys() - {NAME}:
        JobRun.objects.create(job=name, started_at=now)
    [late] = late_jobs(now)
    assert (late.job, late.since) == (NAME, now - 24 * HOUR)
