"""The second step at the door: a code of an authenticator app, or one of a few backup codes, each for one time."""

import re
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

BACKUP_CODES = 10
SIX_DIGITS = re.compile(r"\d{6}", re.ASCII)

WRONG_CODE = InvalidRequest.at(
    "code", "wrong", "This code isn’t right, or was used before. Wait for the next one, then try again."
)


def begin(user: User) -> TOTPDevice:
    """What somebody's app is to be told; nothing is asked at the door until they have shown that it was."""
    waiting = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("id")
    return waiting.first() or TOTPDevice.objects.create(user=user, name="app", confirmed=False)


def confirm(*, user: User, code: str) -> list[str]:
    """Turn the second step on, for an app that shows the right code. Returns the backup codes, which can't be had
    again. Raises InvalidRequest for a wrong code."""
    device = _that_accepts(TOTPDevice.objects.filter(user=user, confirmed=False), _typed(code))
    if device is None:
        raise WRONG_CODE
    return _turn_on(user, device)


@one_transaction
def _turn_on(user: User, device: Device) -> list[str]:
    TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
    TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
    return new_backup_codes(user)


def verify(user: User, code: str) -> Device | None:
    """What accepts a code of somebody's: their app or their backup codes, of which each works once. None if
    nothing does. Each wrong one makes the next wait, longer and longer."""
    code = _typed(code)
    kind = TOTPDevice if SIX_DIGITS.fullmatch(code) else StaticDevice
    return _that_accepts(kind.objects.filter(user=user, confirmed=True), code)


def _that_accepts(devices: QuerySet[Any], code: str) -> Device | None:
    with transaction.atomic():
        for device in devices.order_by("id").select_for_update():
            if device.verify_token(code):
                return device
    return None


def _typed(code: str) -> str:
    """A code as it was made: apps show it in groups, and keyboards begin with a capital."""
    return "".join(code.split()).lower()


@one_transaction
def new_backup_codes(user: User) -> list[str]:
    """New backup codes, in the place of the old ones."""
    StaticDevice.objects.filter(user=user).delete()
    codes = [StaticToken.random_token() for _ in range(BACKUP_CODES)]
    device = StaticDevice.objects.create(user=user, name="backup codes")
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def codes_left(user: User) -> int:
    return StaticToken.objects.filter(device__user=user).count()


def end(*, user: User, code: str) -> None:
    """Turn the second step off. Raises InvalidRequest for a wrong code."""
    if verify(user, code) is None:
        raise WRONG_CODE
    _turn_off(user)


@one_transaction
def _turn_off(user: User) -> None:
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
