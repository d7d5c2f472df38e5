"""The mail about alerts: one for what is new, to those whom it concerns, and never lost."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.mail.backends.base import BaseEmailBackend

from catalog.alerts import Condition, Kind, Severity, acknowledge, settle, snooze
from catalog.digest import BETWEEN, send_digest
from catalog.models import Alert, Business, JobRun, Membership
from catalog.tasks import send_alert_digest
from factories import ACTOR, BusinessFactory

pytestmark = pytest.mark.usefixtures("db")

User = get_user_model()


@pytest.fixture
def ada(shop):
    return works_in(shop, "ada", Membership.Role.OWNER)


def works_in(shop, name, role, **more):
    user = User.objects.create_user(f"{name}-{shop.slug[:8]}", email=f"{name}@example.com", **more)
    Membership.objects.create(business=shop, user=user, role=role)
    return user


def open_alerts(shop, *titles, now, severity=Severity.NOTICE):
    """Make these, and no others, the shop's open alerts."""
    conditions = [Condition(Kind.LOW_STOCK, severity, title, subject=title) for title in titles]
    settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=conditions, now=now)


def test_new_alerts_come_in_one_mail_with_the_worst_first(shop, ada, now, mailoutbox, settings):
    settings.PUBLIC_URL = "https://stock.example.com"
    Business.objects.filter(id=shop.id).update(name="Ada <& Sons>", time_zone="Europe/London")
    open_alerts(shop, "Mug: 2 left", now=now)
    critical = Condition(Kind.HOLDS_OVERDUE, Severity.CRITICAL, "<b>Holds</b> are overdue")
    settle(business_id=shop.id, kinds=[Kind.HOLDS_OVERDUE], conditions=[critical], now=now)
    assert send_digest(business_id=shop.id, now=now) == 2
    [mail] = mailoutbox
    assert mail.to == ["ada@example.com"]
    assert mail.subject == "Ada <& Sons>: 2 new alerts"
    assert mail.from_email.startswith('"Ada <& Sons>" <')
    assert mail.body.index("<b>Holds</b> are overdue") < mail.body.index("Mug: 2 left")
    page = f"https://stock.example.com/staff/stock-health/?business={shop.slug}"
    assert page in mail.body
    [(html, _)] = mail.alternatives
    assert f'href="{page}"' in html
    assert "&lt;b&gt;Holds&lt;/b&gt;" in html
    assert "Ada &lt;&amp; Sons&gt;" in html


def test_one_alert_is_told_in_the_subject(shop, ada, now, mailoutbox):
    Business.objects.filter(id=shop.id).update(name="Ada\nBcc: eve@example.com")
    open_alerts(shop, "Mug: 2\nleft", now=now)
    send_digest(business_id=shop.id, now=now)
    assert mailoutbox[0].subject == "Ada Bcc: eve@example.com: Mug: 2 left"


@pytest.mark.slow
def test_digest_is_no_flood(shop, ada, now, mailoutbox):
    """An alert every half a minute for an hour is a mail every five minutes, and none is left out."""
    titles = [f"Alert {number}" for number in range(120)]
    for number in range(120):
        at = now + timedelta(seconds=30 * number)
        open_alerts(shop, *titles[: number + 1], now=at)
        send_digest(business_id=shop.id, now=at)
    assert len(mailoutbox) == 12
    later = now + timedelta(hours=1)
    send_digest(business_id=shop.id, now=later)
    send_digest(business_id=shop.id, now=later + BETWEEN)
    assert len(mailoutbox) == 13
    for title in titles:
        assert sum(f"- {title} (" in mail.body for mail in mailoutbox) == 1


def test_mail_lists_only_so_many(shop, ada, now, mailoutbox):
    open_alerts(shop, *(f"Alert {number}" for number in range(1000)), now=now)
    assert send_digest(business_id=shop.id, now=now) == 1000
    assert mailoutbox[0].subject.endswith("1000 new alerts")
    assert "- and 950 more" in mailoutbox[0].body
    assert len(mailoutbox[0].body) < 10_000


def test_what_was_over_meanwhile_is_told_with_the_next_mail(shop, ada, now, mailoutbox):
    open_alerts(shop, "Mug", "Plate", now=now)
    send_digest(business_id=shop.id, now=now)
    later = now + BETWEEN
    open_alerts(shop, "Plate", now=later)
    assert send_digest(business_id=shop.id, now=later) == 0
    open_alerts(shop, "Plate", "Cup", now=later)
    send_digest(business_id=shop.id, now=later)
    body = mailoutbox[1].body
    assert body.index("- Cup") < body.index("Over meanwhile") < body.index("- Mug")
    assert "Plate" not in body


def test_what_somebody_sees_to_is_not_told(shop, ada, now, mailoutbox):
    open_alerts(shop, "Seen", "Asleep", now=now)
    seen, asleep = Alert.objects.filter(business=shop).order_by("-title")
    acknowledge(business_id=shop.id, alert_id=seen.id, actor=ACTOR, now=now)
    until = now + timedelta(hours=1)
    snooze(business_id=shop.id, alert_id=asleep.id, until=until, actor=ACTOR, now=now)
    assert send_digest(business_id=shop.id, now=now) == 0
    assert send_digest(business_id=shop.id, now=until) == 1
    assert send_digest(business_id=shop.id, now=until + BETWEEN) == 0
    snooze(business_id=shop.id, alert_id=asleep.id, until=until + timedelta(hours=1), actor=ACTOR, now=until)
    assert send_digest(business_id=shop.id, now=until + timedelta(hours=1)) == 1
    assert [mail.subject for mail in mailoutbox] == [f"{shop.name}: Asleep"] * 2


def test_mail_goes_to_owners_and_managers_of_that_shop(shop, now, mailoutbox):
    for name, role in (("owner", "owner"), ("manager", "manager"), ("packer", "packer"), ("viewer", "viewer")):
        works_in(shop, name, role)
    works_in(shop, "left", "owner", is_active=False)
    works_in(BusinessFactory(), "stranger", "owner")
    User.objects.filter(email="left@example.com").update(is_active=False)
    open_alerts(shop, "Mug", now=now)
    send_digest(business_id=shop.id, now=now)
    assert mailoutbox[0].to == ["manager@example.com", "owner@example.com"]


def test_alert_waits_for_somebody_with_an_address(shop, now, mailoutbox):
    open_alerts(shop, "Mug", now=now)
    assert send_digest(business_id=shop.id, now=now) == 0
    works_in(shop, "ada", "owner")
    assert send_digest(business_id=shop.id, now=now) == 1


def test_alert_about_holdfast_goes_to_owners_who_do_not_see_each_other(shop, ada, now, mailoutbox):
    Alert.objects.filter(business=None).delete()
    works_in(shop, "manager", "manager")
    User.objects.create_superuser(f"root-{shop.slug}", email="root@example.com")
    late = Condition(Kind.JOB_LATE, Severity.CRITICAL, "payment-timeout has not run", subject="payment-timeout")
    settle(business_id=None, kinds=[Kind.JOB_LATE], conditions=[late], now=now)
    assert send_digest(business_id=None, now=now) == 1
    [mail] = mailoutbox
    assert mail.to == []
    assert {"ada@example.com", "root@example.com"} <= set(mail.bcc)
    assert "manager@example.com" not in mail.bcc
    assert mail.subject == "Holdfast: payment-timeout has not run"


class Unreachable(BaseEmailBackend):
    """A mail server that isn't there."""

    def send_messages(self, messages):
        raise ConnectionRefusedError("no mail server")


def test_mail_that_can_not_be_sent_is_tried_again(shop, ada, now, mailoutbox, settings, caplog):
    open_alerts(shop, "Mug", now=now)
    reachable, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Unreachable"
    assert send_digest(business_id=shop.id, now=now) == 0
    assert "could not be sent" in caplog.text
    settings.EMAIL_BACKEND = reachable
    assert send_digest(business_id=shop.id, now=now) == 1
    assert mailoutbox[0].subject == f"{shop.name}: Mug"


def test_digest_is_a_job_that_tells_every_shop(shop, ada, now, mailoutbox):
    other = BusinessFactory()
    works_in(other, "ben", "owner")
    for business in (shop, other):
        open_alerts(business, "Mug", now=now)
    assert send_alert_digest() >= 2
    assert {f"{shop.name}: Mug", f"{other.name}: Mug"} <= {mail.subject for mail in mailoutbox}
    assert JobRun.objects.filter(job="alert-digest", outcome="done", started_at__gte=now).exists()
