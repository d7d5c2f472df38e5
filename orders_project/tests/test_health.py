import json

import pytest

from orders_project.health import healthz, readyz


def test_healthz_answers_without_asking_anybody(rf, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1"
    assert healthz(rf.get("/healthz")).status_code == 200  # no database mark: it would be refused


@pytest.mark.django_db
def test_readyz_when_all_is_well(rf):
    response = readyz(rf.get("/readyz"))
    assert json.loads(response.content) == {"database": "ok", "redis": "ok", "migrations": "ok"}
    assert response.status_code == 200


@pytest.mark.django_db
def test_readyz_names_what_is_away_and_keeps_the_reason_to_itself(rf, settings):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1"
    response = readyz(rf.get("/readyz"))
    assert json.loads(response.content) == {
        "database": "ok",
        "redis": "failed",
        "migrations": "ok",
    }
    assert response.status_code == 503
