import json
from datetime import timedelta

import pytest

from catalog.models import JobRun
from orders_project.health import BEAT_SEEN_WITHIN, healthz, readyz

ALL_IS_WELL = {"database": "ok", "redis": "ok", "migrations": "ok", "beat": "ok"}


def seen(response):
    return response.status_code, json.loads(response.content)


def test_healthz_answers_without_asking_anybody(rf, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1"
    assert healthz(rf.get("/healthz")).status_code == 200  # no database mark: it would be refused


@pytest.fixture
def beat(db, now):
    """A job that was started just now, and none besides."""
    JobRun.objects.all().delete()
    return JobRun.objects.create(job="stock-watch", started_at=now)


@pytest.mark.usefixtures("beat")
def test_readyz_when_all_is_well(rf):
    assert seen(readyz(rf.get("/readyz"))) == (200, ALL_IS_WELL)


@pytest.mark.usefixtures("beat")
def test_readyz_names_what_is_away_and_keeps_the_reason_to_itself(rf, settings):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1"
    assert seen(readyz(rf.get("/readyz"))) == (503, {**ALL_IS_WELL, "redis": "failed"})


def test_readyz_tells_when_no_job_was_started_lately(rf, beat):
    JobRun.objects.filter(id=beat.id).update(started_at=beat.started_at - BEAT_SEEN_WITHIN)
    assert seen(readyz(rf.get("/readyz"))) == (503, {**ALL_IS_WELL, "beat": "failed"})


def test_readyz_knows_the_beat_by_another_job_while_one_takes_long(rf, beat):
    JobRun.objects.create(job="payment-timeout", started_at=beat.started_at - timedelta(minutes=4))
    assert seen(readyz(rf.get("/readyz"))) == (200, ALL_IS_WELL)
