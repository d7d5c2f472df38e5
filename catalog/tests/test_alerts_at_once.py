"""Alerts that several watch, and mail that several send, at the same moment."""

import json

import pytest
from django.contrib.auth import get_user_model

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.digest import send_digest
from catalog.live import feed
from catalog.models import Alert, Membership
from conftest import until

pytestmark = pytest.mark.usefixtures("committed")

LOW = Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 3 left", subject="mug")


def told(shop):
    """What the live feed is to tell of the shop."""
    marked = feed.take(shop.id)
    return [json.loads(event) for event in marked.news] if marked else []


def test_watchers_at_once_open_one_alert_and_close_it_once(shop, now, at_once):
    feed.position(shop.id)  # somebody listens

    def watch(*conditions):
        return lambda: settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=conditions, now=now)

    assert at_once([watch(LOW)] * 4, behind=shop) == [None] * 4
    alert = Alert.objects.get(business=shop)
    assert at_once([watch()] * 4, behind=alert) == [None] * 4
    events = []
    until(lambda: "alert.closed" in [event["type"] for event in events.extend(told(shop)) or events])
    assert [event["type"] for event in events] == ["alert.opened", "alert.closed"]
    assert {event["alert"] for event in events} == {str(alert.id)}
    alert.refresh_from_db()
    assert alert.closed_at == now


def test_senders_at_once_send_one_mail(shop, now, at_once, mailoutbox):
    user = get_user_model().objects.create_user(shop.slug, email="ada@example.com")
    Membership.objects.create(business=shop, user=user, role="owner")
    settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=[LOW], now=now)
    told = at_once([lambda: send_digest(business_id=shop.id, now=now)] * 4)
    assert sorted(told) == [0, 0, 0, 1]
    assert len(mailoutbox) == 1
    user.delete()  # or every later mail about Holdfast itself goes there
