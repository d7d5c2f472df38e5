"""Alerts that several watch, and mail that several send, at the same moment."""

import json
import time

import pytest
from django.contrib.auth import get_user_model
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.digest import send_digest, send_digests
from catalog.live import feed
from catalog.models import Alert, Membership
from conftest import until
from factories import BusinessFactory

pytestmark = pytest.mark.usefixtures("committed")

LOW = Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 3 left", subject="mug")


def told(shop):
    """What the live feed is to tell of the shop, each once."""
    marked = feed.take(shop.id)
    if marked is None:
        return []
    feed.tell(shop.id, marked, [])  # or it would be taken again
    return [json.loads(event) for event in marked.news]


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


@pytest.fixture
def ada(committed, shop, now):
    """The owner of the shop, in which something is low."""
    user = get_user_model().objects.create_user(shop.slug, email="ada@example.com")
    wait_for_mail(user, shop, now)
    yield user
    user.delete()  # or every later mail about Holdfast itself goes there


def wait_for_mail(user, shop, now):
    Membership.objects.create(business=shop, user=user, role="owner")
    settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=[LOW], now=now)


@pytest.mark.usefixtures("ada")
def test_senders_at_once_send_one_mail(shop, now, at_once, mailoutbox):
    told = at_once([lambda: send_digest(business_id=shop.id, now=now)] * 4)
    assert sorted(told) == [0, 0, 0, 1]
    assert len(mailoutbox) == 1


class Slow(EmailBackend):
    """A mail server that takes longer than a transaction may idle."""

    def send_messages(self, messages):
        time.sleep(0.6)
        return super().send_messages(messages)


@pytest.mark.usefixtures("ada")
def test_mail_that_takes_its_time_is_sent_once(shop, now, mailoutbox, settings):
    settings.EMAIL_BACKEND = f"{__name__}.Slow"
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '300ms'")
    assert send_digest(business_id=shop.id, now=now) == 1
    assert send_digest(business_id=shop.id, now=now) == 0
    assert len(mailoutbox) == 1


def test_digests_go_on_when_one_fails(shop, ada, now, mailoutbox, another_session):
    shops = [shop, BusinessFactory(), BusinessFactory()]
    for each in shops[1:]:
        wait_for_mail(ada, each, now)
    with another_session() as other, connection.cursor() as cursor:
        other.execute("SELECT FROM catalog_alert WHERE business_id = %s FOR UPDATE", [shops[1].id])
        cursor.execute("SET lock_timeout = '20ms'")
        with pytest.raises(RuntimeError, match="1 of the businesses"):
            send_digests(now=now)
    told = Alert.objects.filter(business__in=shops, emailed_at=now)
    assert {alert.business_id for alert in told} == {shop.id, shops[2].id}
