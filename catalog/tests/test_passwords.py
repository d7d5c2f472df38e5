"""A new password in the place of one that was forgotten, by a link that is mailed."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, override_settings
from django_otp.plugins.otp_totp.models import TOTPDevice

from catalog.failures import AccessAttempt
from catalog.models import AuditEntry, Business, Membership
from catalog.passwords import ASKED, mail_link, password_path
from catalog.second_step import begin
from conftest import until
from orders_project.clock import database_now

OLD, NEW = "correct horse battery", "another one, and long"


@pytest.fixture
def ada(shop: Business) -> User:
    name = f"ada-{uuid4()}"
    user = User.objects.create_user(name, f"{name}@example.com", OLD, is_staff=True)
    Membership.objects.create(business=shop, user=user, role=Membership.Role.OWNER, accepted_at=database_now())
    return user


@pytest.fixture
def letterbox() -> Iterator[list[Any]]:
    mail.outbox = []
    with override_settings(PUBLIC_URL="https://shop.example"):
        yield mail.outbox


def ask(address: str, **headers: str) -> str:
    """What is answered, without what is in each answer anew."""
    response = Client(headers=headers).post("/forgotten/", {"email": address})
    assert response.status_code == 200
    return response.content.decode().replace(address, "…")


def path_in(sent: Any) -> str:
    return re.findall(r"https://shop\.example(/welcome/\S+)", sent.body)[0]


def set_password(path: str) -> Any:
    client = Client()
    form = client.get(path, follow=True)
    return client.post(form.request["PATH_INFO"], {"new_password1": NEW, "new_password2": NEW})


def test_forgotten_password_is_set_anew_by_a_link(committed: None, shop: Business, ada: User, letterbox) -> None:
    """In another thread, so that how long the answer takes tells nothing; at our own address, whatever host
    the request named."""
    known = ask(ada.email.upper(), Host="localhost")
    until(lambda: letterbox != [])
    assert ask(f"nobody-{uuid4()}@example.com") == known
    (sent,) = letterbox
    assert sent.to == [ada.email]
    assert set_password(path_in(sent)).status_code == 302
    assert "was used already" in Client().get(path_in(sent), follow=True).content.decode()
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    told = AuditEntry.objects.filter(business=shop).order_by("at", "id").values_list("action", flat=True)
    assert list(told) == [ASKED, "set a password"]


@pytest.mark.usefixtures("db")
def test_nobody_is_mailed_twice_in_a_quarter_of_an_hour(ada: User, letterbox) -> None:
    for _ in range(3):
        mail_link(user=ada, asked_from="192.0.2.1")
    assert len(letterbox) == 1


@pytest.mark.usefixtures("db")
def test_link_is_for_people_of_the_back_office(ada: User, letterbox) -> None:
    ada.is_staff = False
    ada.save()
    mail_link(user=ada, asked_from="192.0.2.1")
    assert letterbox == []


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!none"}])
def test_link_is_for_accounts_that_are_open_and_have_a_password(ada: User, letterbox, change: Any) -> None:
    User.objects.filter(pk=ada.pk).update(**change)
    ask(ada.email)
    assert not AuditEntry.objects.filter(action=ASKED, actor=f"person:{ada}").exists()


@pytest.mark.usefixtures("db")
def test_new_password_ends_every_session_and_forgets_what_was_tried(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    AccessAttempt.objects.create(
        username=ada.username, ip_address="127.0.0.1", attempt_time=database_now(), failures_since_start=5
    )
    set_password(password_path(ada))
    assert client.get("/staff/holds/").status_code == 302
    signed_in = Client().post("/admin/login/", {"username": ada.username, "password": NEW})
    assert signed_in.status_code == 302


@pytest.mark.usefixtures("db")
def test_new_password_leaves_the_second_step_at_the_door(ada: User) -> None:
    TOTPDevice.objects.filter(pk=begin(ada).pk).update(confirmed=True)
    set_password(password_path(ada))
    client = Client()
    asked = client.post("/admin/login/", {"username": ada.username, "password": NEW})
    assert "Enter a code" in asked.content.decode()
    assert "_auth_user_id" not in client.session


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("password", ["password", "12345678901", "short", ""])
def test_password_that_is_easy_to_guess_is_refused(ada: User, password: str) -> None:
    client = Client()
    form = client.get(password_path(ada), follow=True).request["PATH_INFO"]
    assert client.post(form, {"new_password1": password, "new_password2": password}).status_code == 200
    ada.refresh_from_db()
    assert ada.check_password(OLD)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "address", ["", "x", "a@b\n.example", "x" * 300, "ada@example.com\r\nBcc: eve@example.com"]
)
def test_what_is_no_address_is_refused(address: str, letterbox) -> None:
    response = Client().post("/forgotten/", {"email": address})
    assert "is on its way" not in response.content.decode()
    assert letterbox == []
