"""Alerts over the API: read by everyone of the shop, answered by those who may write."""

from datetime import timedelta

import pytest

from callers import Caller, refused
from catalog.models import Alert, ApiKey
from factories import BusinessFactory, api_key

pytestmark = pytest.mark.usefixtures("db", "all_is_well")


def an_alert(shop, now, kind="low_stock", *, severity="notice", **more):
    more.setdefault("subject", f"{kind} {now}")
    return Alert.objects.create(
        business=shop, kind=kind, severity=severity, title="Mug: 2 left", opened_at=now, seen_at=now, **more
    )


def shown(api, query=""):
    return [alert["id"] for alert in api.get(f"/alerts{query}").json()["results"]]


def test_alert_is_shown_with_its_facts(shop, api, now):
    alert = an_alert(shop, now, subject="mug", facts={"sku": "MUG-01", "available": 2})
    body = next(found for found in api.get("/alerts").json()["results"] if found["id"] == str(alert.id))
    instant = now.isoformat().replace("+00:00", "Z")
    assert body == {
        "id": str(alert.id),
        "kind": "low_stock",
        "severity": "notice",
        "subject": "mug",
        "title": "Mug: 2 left",
        "facts": {"sku": "MUG-01", "available": 2},
        "opened_at": instant,
        "seen_at": instant,
        "times_seen": 1,
        "closed_at": None,
        "acknowledged_at": None,
        "acknowledged_by": "",
        "snoozed_until": None,
        "snoozed_by": "",
    }


def test_alerts_are_narrowed_newest_first_and_page_by_page(shop, api, now):
    Alert.objects.filter(business=None).delete()
    an_alert(BusinessFactory(), now)
    low = an_alert(shop, now, subject="mug")
    over = an_alert(shop, now - timedelta(days=1), closed_at=now)
    out = an_alert(shop, now + timedelta(days=1), "out_of_stock", severity="warning")
    late = an_alert(None, now + timedelta(days=2), "job_late", severity="critical")
    everything = [str(alert.id) for alert in (late, out, low, over)]
    assert shown(api) == everything
    assert shown(api, "?ordering=opened_at") == everything[::-1]
    assert shown(api, "?open=true") == everything[:3]
    assert shown(api, "?open=false") == everything[3:]
    assert shown(api, "?kind=out_of_stock") == shown(api, "?severity=warning") == [str(out.id)]
    assert shown(api, "?subject=mug") == [str(low.id)]
    page, pages = "/api/v1/alerts?limit=1", []
    while page:
        answer = api.get(page).json()
        pages += [alert["id"] for alert in answer["results"]]
        page = answer["next"] and answer["next"].removeprefix("http://testserver")
    assert pages == everything


@pytest.mark.parametrize("query", ["open=yes", "kind=x", "severity=high", "state=open", "ordering=kind", "open="])
def test_filters_that_make_no_sense_are_refused(api, query):
    refused(api.get(f"/alerts?{query}"), 400, "invalid_parameter")


def test_alert_is_acknowledged_and_put_to_sleep_by_name(shop, api, now):
    alert = an_alert(shop, now)
    until = (now + timedelta(days=1)).isoformat()
    body = api.patch(f"/alerts/{alert.id}", {"acknowledged": True, "snoozed_until": until}).json()
    assert (body["acknowledged_by"], body["snoozed_by"]) == ("key:Test", "key:Test")
    assert body["snoozed_until"] == until.replace("+00:00", "Z")
    again = api.patch(f"/alerts/{alert.id}", {"acknowledged": True}).json()
    assert again == body
    woken = api.patch(f"/alerts/{alert.id}", {"acknowledged": False, "snoozed_until": None}).json()
    assert (woken["acknowledged_at"], woken["acknowledged_by"], woken["snoozed_until"]) == (None, "", None)


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"acknowledged": "yes"}, {"acknowledged": None}, {"snoozed_until": "soon"}, {"snoozed_until": 5}),
        {"snoozed_until": "2020-01-01T00:00:00Z", "acknowledged": True},
        {"snoozed_until": "9999-12-31T23:59:59Z"},
        {"snoozed_until": "0001-01-01T00:00:00+14:00"},
        {"closed_at": "2026-01-01T00:00:00Z", "acknowledged": True},
    ],
)
def test_answer_that_makes_no_sense_changes_nothing(shop, api, now, body):
    alert = an_alert(shop, now)
    refused(api.patch(f"/alerts/{alert.id}", body), 422, "invalid_request")
    alert.refresh_from_db()
    assert (alert.acknowledged_at, alert.snoozed_until) == (None, None)


def test_alert_that_is_closed_is_shown_and_stays_as_it_is(shop, api, now):
    alert = an_alert(shop, now - timedelta(days=1), closed_at=now)
    before = api.get(f"/alerts/{alert.id}").json()
    assert (before["id"], before["closed_at"]) == (str(alert.id), now.isoformat().replace("+00:00", "Z"))
    for said in ({"acknowledged": True}, {"snoozed_until": (now + timedelta(days=1)).isoformat()}):
        problem = refused(api.patch(f"/alerts/{alert.id}", said), 409, "alert_closed")
        assert problem["closed_at"] == now.isoformat()
    assert api.get(f"/alerts/{alert.id}").json() == before


def test_alert_is_shown_to_its_shop_alone(shop, api, now):
    alert = an_alert(shop, now)
    about_holdfast = an_alert(None, now, "job_late")
    stranger = Caller(BusinessFactory())
    assert api.get(f"/alerts/{alert.id}").json() in api.get("/alerts").json()["results"]
    refused(stranger.get(f"/alerts/{alert.id}"), 404, "alert_not_found")
    for caller in (api, stranger):
        assert caller.get(f"/alerts/{about_holdfast.id}").json()["kind"] == "job_late"
    refused(api.get(f"/alerts/{alert.id}?open=true"), 400, "invalid_parameter")
    refused(Caller().get(f"/alerts/{alert.id}"), 401, "not_authenticated")


def test_alert_is_answered_only_by_those_who_may(shop, api, now):
    alert = an_alert(shop, now)
    about_holdfast = an_alert(None, now, "job_late")
    said = {"acknowledged": True, "snoozed_until": (now + timedelta(days=1)).isoformat()}
    reader = Caller(key=api_key(shop, ApiKey.Scope.READ))
    stranger = Caller(BusinessFactory())
    refused(stranger.patch(f"/alerts/{alert.id}", said), 404, "alert_not_found")
    refused(reader.patch(f"/alerts/{alert.id}", said), 403, "not_allowed")
    refused(api.patch(f"/alerts/{about_holdfast.id}", said), 403, "not_allowed")
    refused(Caller().patch(f"/alerts/{alert.id}", said), 401, "not_authenticated")
    assert shown(stranger) == shown(stranger, "?kind=job_late")
    assert str(alert.id) in shown(reader)
    for each in (alert, about_holdfast):
        each.refresh_from_db()
        assert (each.acknowledged_at, each.snoozed_until) == (None, None)
