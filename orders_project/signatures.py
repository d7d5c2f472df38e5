"""Signatures of webhooks, of those that we send and of those that come in: Standard Webhooks, version 1
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

No secret is stored. It is made from the server's SECRET_KEY and from what it belongs to, so a copy of the database
signs nothing; and it is changed by counting its generation on.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

# How far from our clock a message may have been signed: beyond it, it may be somebody who repeats it.
TOLERANCE = timedelta(minutes=5)


class NotSigned(Exception):
    """A message isn't what somebody with the secret signed, or was signed too long ago; it says which."""


def secret(owner_id: UUID, generation: int) -> str:
    """The secret that a generation of an owner's messages is signed with, as people copy it: `whsec_...`."""
    made = salted_hmac(
        "holdfast.webhooks", f"{owner_id}:{generation}", algorithm="sha256", secret=settings.SECRET_KEY
    )
    return "whsec_" + base64.b64encode(made.digest()).decode()


def signature(secrets: Iterable[str], *, message_id: str, at: datetime, body: bytes) -> str:
    """The header `webhook-signature` of a message: one signature with each of the secrets."""
    return " ".join(_signed(each, message_id, str(int(at.timestamp())), body) for each in secrets)


def check(
    secrets: Iterable[str], *, message_id: str, timestamp: str, signatures: str, body: bytes, now: datetime
) -> None:
    """Check a message by its headers, whose names are those of the arguments. Raises NotSigned."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotSigned("webhook-timestamp is not a number of seconds.")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise NotSigned("webhook-timestamp is more than five minutes from our clock.")
    expected = [_signed(each, message_id, timestamp, body) for each in secrets]
    # Each against each, to the end: how long it takes tells nothing.
    if not sum(constant_time_compare(given, own) for given in signatures.split()[:10] for own in expected):
        raise NotSigned("webhook-signature doesn't belong to this message.")


def _signed(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
