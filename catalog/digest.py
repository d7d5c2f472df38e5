"""The mail that tells people of alerts: what is new since the last one, in a digest and not a flood."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formataddr, parseaddr
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives
from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from catalog.alerts import RANKS, Severity
from catalog.jobs import for_each
from catalog.models import Alert, Business, Membership

logger = logging.getLogger(__name__)

BETWEEN = timedelta(minutes=5)  # two mails to the people of one business, at least
MOST_LISTED = 50  # of each kind; the page shows all of them

TOLD_ROLES = (Membership.Role.OWNER, Membership.Role.MANAGER)


def send_digests(*, now: datetime) -> int:
    """Send a mail for each business that has alerts which are new to its people. Returns how many alerts they
    were told of, and raises what `for_each` does."""
    untold = Alert.objects.untold(now).order_by()
    waiting = list(untold.values_list("business_id", flat=True).distinct())
    return for_each(waiting, lambda business_id: send_digest(business_id=business_id, now=now))


@transaction.atomic
def send_digest(*, business_id: UUID | None, now: datetime) -> int:
    """Tell the owners and managers of a business, in one mail, of the alerts that are new since the last one; of
    those about Holdfast itself (no business) every owner, and who runs Holdfast.

    Returns how many alerts they were told of: none when the last mail was a moment ago, when nobody has an
    address, or when somebody else is sending this mail. What can't be sent is logged, and tried the next time.
    """
    if not _is_ours(business_id):
        return 0
    alerts = Alert.objects.only_of(business_id)
    last: datetime | None = alerts.aggregate(last=Max("emailed_at"))["last"]
    if last is not None and last > now - BETWEEN:
        return 0
    new = sorted(alerts.untold(now), key=_worst_first)
    people = list(_told(business_id).values_list("email", flat=True))
    if not new or not people:
        return 0
    over = alerts.filter(closed_at__gt=last).order_by("-closed_at") if last else alerts.none()
    business = Business.objects.get(id=business_id) if business_id else None
    try:
        _mail(business, people, new, list(over[:MOST_LISTED])).send()
    except Exception:  # whatever the mail backend raises: other businesses have mails to get
        logger.exception("The digest of %d alerts could not be sent; it is tried again.", len(new))
        return 0
    alerts.filter(id__any_of=[alert.id for alert in new]).update(emailed_at=now)
    return len(new)


def _is_ours(business_id: UUID | None) -> bool:
    """Whether nobody else is sending the mail of this business; nobody will until the transaction ends. It holds
    no row meanwhile, and may idle, for a mail server may take its time; and if it dies, the mail is sent again."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout TO 0")
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"digest {business_id}"])
        (ours,) = cursor.fetchone()
    return bool(ours)


def _worst_first(alert: Alert) -> tuple[int, datetime]:
    return -RANKS[Severity(alert.severity)], alert.opened_at


def _told(business_id: UUID | None) -> QuerySet[Any]:
    """The people who are told, with their addresses."""
    places = Membership.objects.accepted()
    if business_id is None:
        told = Q(memberships__in=places.filter(role=Membership.Role.OWNER)) | Q(is_superuser=True)
    else:
        told = Q(memberships__in=places.filter(business=business_id, role__in=TOLD_ROLES))
    return get_user_model().objects.filter(told, is_active=True).exclude(email="").order_by("email").distinct()


def _mail(
    business: Business | None, people: Sequence[str], new: Sequence[Alert], over: Sequence[Alert]
) -> EmailMultiAlternatives:
    name = " ".join(business.name.split()) if business else "Holdfast"  # a header is one line
    shown = {
        "name": name,
        "new": new[:MOST_LISTED],
        "more": len(new[MOST_LISTED:]),
        "over": over,
        "page": f"{settings.PUBLIC_URL}/staff/stock-health/{f'?business={business.slug}' if business else ''}",
    }
    what = new[0].title if len(new) == 1 else f"{len(new)} new alerts"
    with timezone.override(ZoneInfo(business.time_zone) if business else UTC):
        text, html = (render_to_string(f"mail/digest.{form}", shown) for form in ("txt", "html"))
    mail = EmailMultiAlternatives(
        subject=f"{name}: {' '.join(what.split())}",
        body=text,
        from_email=formataddr((name, parseaddr(settings.DEFAULT_FROM_EMAIL)[1])),
        # The owners of different businesses are not to read each other's addresses.
        to=people if business else [],
        bcc=[] if business else people,
    )
    mail.attach_alternative(html, "text/html")
    return mail
