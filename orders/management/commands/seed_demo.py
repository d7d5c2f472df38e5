import base64
import hashlib
import hmac
import json
import os
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from catalog.models import ApiKey, Business, Membership
from catalog.services import hash_secret, make_api_key
from orders.demo import demo_shop
from orders_project.clock import database_now

USERNAME = "demo"


class Command(BaseCommand):
    help = (
        "Make the demo shop, if it isn't there yet, and say how to get in. Its key and password follow from "
        "SECRET_KEY, so they are the same each time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["text", "json"], default="text", help="For people, or programs.")
        parser.add_argument("--force", action="store_true", help="Do it on a production system too.")

    def handle(self, *, format: str, force: bool, **options: Any) -> None:
        if not (settings.DEBUG or settings.LOCAL or force):
            raise CommandError("This makes an administrator with a known password. If you mean it: --force.")
        shop = demo_shop(now=database_now())
        with transaction.atomic():
            way_in: dict[str, Any] = {
                "business_id": str(shop.id),
                "api_key": _api_key(shop),
                "admin": {"username": USERNAME, "password": _administrator(shop)},
                "base_url": f"http://{os.environ.get('HOST') or '127.0.0.1'}:{os.environ.get('PORT') or '8000'}",
            }
        if format == "json":
            self.stdout.write(json.dumps(way_in))
            return
        self.stdout.write(
            f"The demo shop “{shop.name}” is there.\n"
            f"  API key   {way_in['api_key']}\n"
            f"  Admin     {way_in['base_url']}/admin/ as {USERNAME}, password {way_in['admin']['password']}"
        )


def _derived(purpose: str) -> str:
    """A secret of this installation for one purpose."""
    digest = hmac.digest(settings.SECRET_KEY.encode(), f"demo {purpose}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _api_key(shop: Business) -> str:
    key = f"hf_{_derived('API key')}"
    keys = ApiKey.objects.filter(business=shop, name="Demo")
    if not keys.live().filter(secret_hash=hash_secret(key)).exists():
        keys.delete()  # of an earlier SECRET_KEY
        make_api_key(business=shop, name="Demo", scope=ApiKey.Scope.WRITE, throttled=False, key=key)
    return key


def _administrator(shop: Business) -> str:
    password = _derived("password")[:16]
    # Where mails are files, theirs are there to look at; elsewhere nobody would get them.
    address = {"email": f"{USERNAME}@localhost"} if settings.LOCAL else {}
    user, _ = get_user_model().objects.get_or_create(username=USERNAME, defaults=address)
    if not (user.is_superuser and user.check_password(password)):
        user.is_staff = user.is_superuser = True
        user.set_password(password)
        user.save(update_fields=["is_staff", "is_superuser", "password"])
    Membership.objects.get_or_create(business=shop, user=user, defaults={"role": Membership.Role.OWNER})
    return password
