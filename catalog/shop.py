"""What an owner decides about a business: how it works, its logo, and which programs have a key to it."""

import io
import logging
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from PIL import Image, ImageOps

from catalog import audit
from catalog.errors import ApiKeyNotFound
from catalog.models import ApiKey, Business, Logo, Product
from catalog.services import make_api_key
from orders_project.api.parsing import check_readable
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

logger = logging.getLogger(__name__)

LARGEST_SIDE = 2000  # pixels of a logo

# What a picture that is none makes Pillow raise.
NO_PICTURE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def currency_is_fixed(business: Business) -> bool:
    """Whether prices are on file, which are in the business's currency."""
    return Product.objects.of(business.id).exists()


@one_transaction
def change_settings(*, business_id: UUID, changes: Mapping[str, Any], actor: str, now: datetime) -> Business:
    """Write new values of some fields of a business; other fields stay as somebody else may have set them
    meanwhile. Another time zone has the daily sales counted anew, which takes a while where there are many orders.

    Raises InvalidRequest for another currency when the old one is fixed, and for a name that can't be read.
    """
    check_readable("name", changes.get("name", ""))
    business = Business.objects.select_for_update(no_key=True).get(id=business_id)
    was = {name: getattr(business, name) for name in changes}
    changed = {name: value for name, value in changes.items() if value != was[name]}
    if "currency" in changed and currency_is_fixed(business):
        raise InvalidRequest.at(
            "currency", "fixed", "Prices are on file in this currency: it can’t change any more."
        )
    if not changed:
        return business
    for name, value in changed.items():
        setattr(business, name, value)
    if "time_zone" in changed:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '5min'")
    business.save(update_fields=changed)
    audit.record(
        business_id=business_id,
        actor=actor,
        now=now,
        action="changed",
        subject=business,
        changes={name: [str(was[name]), str(value)] for name, value in changed.items()},
    )
    return business


@one_transaction
def set_logo(*, business: Business, picture: bytes | None, actor: str, now: datetime) -> None:
    """Give a business a logo, or (None) take it away. Raises InvalidRequest for what is no PNG or JPEG, or is too
    large."""
    if picture is None:
        gone, _ = Logo.objects.filter(business=business).delete()
        action = "removed the logo of" if gone else ""
    else:
        image, media_type = _drawn_anew(picture)
        Logo.objects.update_or_create(business=business, defaults={"image": image, "media_type": media_type})
        action = "gave a logo to"
    if action:
        audit.record(business_id=business.id, actor=actor, now=now, action=action, subject=business)


def logo_of(business: Business) -> bytes | None:
    """The picture of a business's logo; None if it has none, or one that can't be drawn any more."""
    logo = Logo.objects.filter(business=business).first()
    if logo is None:
        return None
    try:
        with Image.open(io.BytesIO(logo.image), formats=["PNG", "JPEG"]) as image:
            image.load()
    except NO_PICTURE as error:
        logger.warning("The logo of %s is damaged, going on without it: %s", business, error)
        return None
    return bytes(logo.image)


def _drawn_anew(picture: bytes) -> tuple[bytes, str]:
    """A picture as we would write it, and its media type: whatever else was hidden in the file stays behind."""
    if len(picture) > Logo.LARGEST:
        raise _refuse(
            "too_large", f"A logo is at most {Logo.LARGEST // 1000} kB; this file has {len(picture) // 1000}."
        )
    drawn = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture), formats=["PNG", "JPEG"]) as image:
            if max(image.size) > LARGEST_SIDE:
                raise _refuse("too_large", f"A logo is at most {LARGEST_SIDE:,} pixels wide and high.")
            kind = str(image.format)
            upright = ImageOps.exif_transpose(image)
            if kind == "JPEG":
                upright.convert("RGB").save(drawn, "JPEG", quality=90, optimize=True)
            else:
                upright.convert("RGBA").save(drawn, "PNG", optimize=True)
    except NO_PICTURE as error:
        raise _refuse("no_picture", "This is no PNG or JPEG that can be read.") from error
    if drawn.tell() > Logo.LARGEST:
        raise _refuse(
            "too_large", f"Drawn anew, this logo has more than {Logo.LARGEST // 1000} kB. Make it smaller."
        )
    return drawn.getvalue(), f"image/{kind.lower()}"


def _refuse(code: str, why: str) -> InvalidRequest:
    return InvalidRequest.at("logo", code, why)


@one_transaction
def give_key(
    *, business: Business, name: str, scope: ApiKey.Scope, actor: str, now: datetime
) -> tuple[ApiKey, str]:
    """A new key for a program, and its text, which can't be had again. Raises InvalidRequest for the name of a key
    that is in use, for the timeline tells keys apart by their names, and for one that can't be read."""
    check_readable("name", name)
    Business.objects.select_for_update(no_key=True).get(id=business.id)
    if ApiKey.objects.live().filter(business=business, name=name).exists():
        raise InvalidRequest.at("name", "taken", f"There is a key named {name}. Revoke it, or take another name.")
    key, text = make_api_key(business=business, name=name, scope=scope)
    audit.record(
        business_id=business.id, actor=actor, now=now, action="made", subject=key, changes={"scope": str(scope)}
    )
    return key, text


@one_transaction
def revoke_key(*, business_id: UUID, key_id: UUID, actor: str, now: datetime) -> ApiKey:
    """End a key: no call with it is answered any more. One that has ended stays so. Raises ApiKeyNotFound."""
    key = ApiKey.objects.select_for_update().filter(business_id=business_id, id=key_id).first()
    if key is None:
        raise ApiKeyNotFound("There is no such key.", key=str(key_id))
    if key.revoked_at is None:
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        audit.record(business_id=business_id, actor=actor, now=now, action="revoked", subject=key)
    return key
