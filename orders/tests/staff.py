"""A person of staff at the browser, for tests of the staff pages."""

import csv
import io
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from catalog.models import Business, Membership


def signed_in(shop: Business, role: str | None = Membership.Role.OWNER, **user: Any) -> Client:
    """The browser of somebody of staff, with a role in the shop."""
    person = User.objects.create_user(f"user-{User.objects.count()}", is_staff=True, **user)
    if role:
        Membership.objects.create(business=shop, user=person, role=role)
    client = Client()
    client.force_login(person)
    return client


def read(response: Any) -> str:
    """The page, which came without a fault."""
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


def rows(response: Any) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
