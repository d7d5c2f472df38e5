"""How people sign in: a password, a code of the second step, and what comes of failures."""

import time
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from callers import Caller
from catalog.models import AuditEntry, Business, Membership
from catalog.second_step import begin, new_backup_codes
from catalog.signing_in import SignIn
from orders_project.clock import database_now

pytestmark = pytest.mark.usefixtures("db")

PASSWORD = "correct horse battery"
LOGIN = "/admin/login/"


@pytest.fixture
def ada(shop: Business) -> User:
    user = User.objects.create_user("ada", password=PASSWORD, is_staff=True)
    Membership.objects.create(business=shop, user=user, role=Membership.Role.OWNER)
    return user


@pytest.fixture
def device(ada: User) -> TOTPDevice:
    """Ada's app."""
    device = begin(ada)
    TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
    return device


def code_of(device: TOTPDevice, *, steps: int = 0) -> str:
    """What the app shows, or will show a few steps later."""
    return f"{totp(device.bin_key, t0=-device.step * steps):06}"


def sign_in(client: Client, password: str = PASSWORD, name: str = "ada", **more: Any) -> Any:
    return client.post(LOGIN, {"username": name, "password": password, **more})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def passed(response: Any) -> str:
    """What the form keeps of the password that was right."""
    assert b"Enter a code" in response.content
    return str(response.context["form"]["passed"].value())


def told(shop: Business) -> list[tuple[str, str]]:
    return list(AuditEntry.objects.filter(business=shop).order_by("id").values_list("actor", "action"))


def test_sign_in_by_password(ada: User, shop: Business) -> None:
    client = Client()
    assert client.get(LOGIN).status_code == 200
    response = sign_in(client, next="/staff/holds/")
    assert response.headers["Location"] == "/staff/holds/"
    assert is_in(client)
    assert told(shop) == [("person:ada", "signed in")]


def test_sign_in_begins_another_session(ada: User) -> None:
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = before = session.session_key
    sign_in(client)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != before


def test_session_ends_twelve_hours_after_the_sign_in_whatever_is_done_meanwhile(ada: User, shop: Business) -> None:
    client = Client()
    sign_in(client)
    over = client.session.get_expiry_date()
    assert timedelta(hours=11, minutes=59) < over - database_now() <= timedelta(hours=12)
    client.get("/staff/holds/", {"business": shop.slug})  # which the session keeps
    assert client.session["business"] == shop.slug
    assert client.session.get_expiry_date() == over
    session = client.session
    session.set_expiry(database_now() - timedelta(seconds=1))
    session.save()
    assert client.get("/staff/holds/").headers["Location"].startswith(LOGIN)


def test_session_is_over_on_the_server_once_signed_out(ada: User) -> None:
    client, copy = Client(), Client()
    sign_in(client)
    copy.cookies[settings.SESSION_COOKIE_NAME] = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert copy.get("/staff/holds/").status_code == 200
    client.post("/admin/logout/")
    assert copy.get("/staff/holds/").headers["Location"].startswith(LOGIN)


def test_session_of_an_account_that_was_closed_opens_nothing(ada: User) -> None:
    client = Client()
    sign_in(client)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert client.get("/staff/holds/").headers["Location"].startswith(LOGIN)


def test_sign_in_leads_to_pages_of_ours_only(ada: User) -> None:
    for wanted in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        client = Client()
        assert sign_in(client, next=wanted).headers["Location"] == "/admin/", wanted


def test_owner_with_a_password_alone_is_reminded_of_the_second_step(ada: User) -> None:
    client = Client()
    sign_in(client)
    assert "Turn on the second step" in client.get("/staff/account/").content.decode()


def test_sign_in_with_a_wrong_password_is_refused_and_told(ada: User, shop: Business) -> None:
    client = Client()
    response = sign_in(client, "guess")
    assert "don’t belong together" in response.content.decode()
    assert not is_in(client)
    assert told(shop) == [("person:ada", "failed to sign in")]


def test_sign_in_of_nobody_is_refused_and_leaves_no_trace_in_the_audit() -> None:
    before = AuditEntry.objects.count()
    assert sign_in(Client(), name="nobody-of-ours").status_code == 200
    assert AuditEntry.objects.count() == before


def test_sign_in_is_closed_for_a_while_after_too_many_failures(ada: User, shop: Business, api: Caller) -> None:
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert sign_in(client, "guess").status_code == 200
    locked = sign_in(client, "guess")
    assert locked.status_code == 429
    assert "Try again in 15 minutes" in locked.content.decode()
    assert sign_in(client).status_code == 429
    assert not is_in(client)
    # Told once, however long they go on; and neither others nor the API are concerned.
    sign_in(client, "guess")
    assert told(shop) == [("person:ada", "failed to sign in")] * 4 + [("person:ada", "was locked out")]
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(elsewhere).status_code == 302
    assert api.get("/products").status_code == 200


def test_sign_in_opens_again(ada: User, settings: Any) -> None:
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        sign_in(client, "guess")
    assert sign_in(client).status_code == 429
    settings.AXES_COOLOFF_TIME = timedelta(0)
    assert sign_in(client).status_code == 302


@pytest.mark.slow
def test_sign_in_forgets_failures_when_it_succeeds(ada: User) -> None:
    client = Client()
    for _ in range(2):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            sign_in(client, "guess")
        assert sign_in(client).status_code == 302


def fail(times: int, *, name: str = "ada", address: str = "192.0.2.1") -> None:
    """Failures of a name from an address, as django-axes writes them down."""
    AccessAttempt.objects.create(
        username=name,
        ip_address=address,
        user_agent="",
        attempt_time=database_now(),
        failures_since_start=times,
    )


def test_one_name_is_not_tried_from_many_addresses(ada: User, settings: Any) -> None:
    settings.FAILURES_OF_NAME = 8
    for n in range(2):
        fail(4, address=f"192.0.2.{n}")
    assert sign_in(Client(REMOTE_ADDR="192.0.2.9")).status_code == 429
    assert sign_in(Client(REMOTE_ADDR="192.0.2.9"), name="ben").status_code == 200


def test_many_names_are_not_tried_from_one_address(ada: User, settings: Any) -> None:
    settings.FAILURES_OF_ADDRESS = 8
    for name in ("ben", "cleo"):
        fail(4, name=name)
    assert sign_in(Client(REMOTE_ADDR="192.0.2.1")).status_code == 429
    assert sign_in(Client(REMOTE_ADDR="192.0.2.9")).status_code == 302


def test_own_account_does_not_make_its_address_forget_what_was_tried_from_there(ada: User, settings: Any) -> None:
    settings.FAILURES_OF_ADDRESS = 8
    fail(4, name="ben", address="127.0.0.1")
    fail(3, name="cleo", address="127.0.0.1")
    assert sign_in(Client()).status_code == 302
    assert sign_in(Client(), "guess", name="dora").status_code == 200
    assert sign_in(Client()).status_code == 429


def test_nobody_is_locked_out_of_their_own_browser_by_others(ada: User, settings: Any) -> None:
    settings.FAILURES_OF_NAME = 8
    name = settings.KNOWN_BROWSER_COOKIE_NAME
    User.objects.create_user("ben", password=PASSWORD, is_staff=True)
    own, of_another, forged, unknown = (Client(REMOTE_ADDR="192.0.2.9") for _ in range(4))
    sign_in(own)
    sign_in(of_another, name="ben")
    assert (own.cookies[name]["httponly"], own.cookies[name]["samesite"]) == (True, "Lax")
    forged.cookies[name] = own.cookies[name].value.replace("ada", "ada ", 1)
    fail(8)
    for client, status in ((forged, 429), (of_another, 429), (unknown, 429), (own, 302)):
        assert sign_in(client).status_code == status
    # What is tried there counts as at any other.
    answers = [sign_in(own, "guess").status_code for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert answers == [200] * 4 + [429]


@pytest.mark.parametrize("behind_proxy", [True, False])
def test_address_behind_a_proxy_is_the_one_that_the_proxy_saw(
    ada: User, settings: Any, behind_proxy: bool
) -> None:
    """And a client can't choose it: what it says itself stands before that, or is not listened to."""
    settings.BEHIND_PROXY = behind_proxy
    for n in range(settings.AXES_FAILURE_LIMIT):
        sign_in(Client(headers={"X-Forwarded-For": f"10.0.0.{n}, 192.0.2.7"}), "guess")
    assert sign_in(Client(headers={"X-Forwarded-For": "10.0.0.99, 192.0.2.7"})).status_code == 429
    elsewhere = sign_in(Client(headers={"X-Forwarded-For": "192.0.2.8"}))
    assert elsewhere.status_code == (302 if behind_proxy else 429)


# --- The second step ---------------------------------------------------------------------------


def test_sign_in_with_second_step_asks_for_a_code(ada: User, device: TOTPDevice, shop: Business) -> None:
    client = Client()
    asked = sign_in(client)
    assert not is_in(client)
    assert PASSWORD not in asked.content.decode()
    response = client.post(LOGIN, {"passed": passed(asked), "code": code_of(device), "next": "/staff/holds/"})
    assert response.headers["Location"] == "/staff/holds/"
    assert is_in(client)
    assert told(shop) == [("person:ada", "signed in")]


def test_code_opens_the_door_once(ada: User, device: TOTPDevice) -> None:
    code = code_of(device)
    for expected in (True, False):
        client = Client()
        client.post(LOGIN, {"passed": passed(sign_in(client)), "code": code})
        assert is_in(client) is expected


def test_backup_code_opens_the_door_once(ada: User, device: TOTPDevice) -> None:
    code, *_ = new_backup_codes(ada)
    for expected in (True, False):
        client = Client()
        client.post(LOGIN, {"passed": passed(sign_in(client)), "code": f" {code[:4].upper()} {code[4:]} "})
        assert is_in(client) is expected
    assert StaticToken.objects.filter(device__user=ada).count() == 9


def test_wrong_codes_are_refused_counted_and_told(ada: User, device: TOTPDevice, shop: Business) -> None:
    client = Client()
    kept = passed(sign_in(client))
    wrong = {"passed": kept, "code": "000000" if code_of(device) != "000000" else "000001"}
    answers = [client.post(LOGIN, wrong).status_code for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert answers == [200] * 4 + [429]
    assert not is_in(client)
    assert told(shop)[-1] == ("person:ada", "was locked out")
    # Now even the right one has to wait: a code of six digits must not be found by trying.
    client.post(LOGIN, {"passed": kept, "code": code_of(device)})
    assert not is_in(client)


def test_right_code_waits_while_the_name_is_locked_out(ada: User, device: TOTPDevice) -> None:
    client = Client()
    kept = passed(sign_in(client))
    for _ in range(settings.AXES_FAILURE_LIMIT):
        sign_in(Client(), "guess")
    assert client.post(LOGIN, {"passed": kept, "code": code_of(device)}).status_code == 429
    assert not is_in(client)


def test_code_of_somebody_else_is_refused(ada: User, device: TOTPDevice) -> None:
    ben = User.objects.create_user("ben", password=PASSWORD, is_staff=True)
    theirs = TOTPDevice.objects.create(user=ben, name="app")
    client = Client()
    client.post(LOGIN, {"passed": passed(sign_in(client)), "code": code_of(theirs)})
    assert not is_in(client)


def test_code_without_the_password_before_it_is_refused(ada: User, device: TOTPDevice) -> None:
    client = Client()
    for kept in ("", "forged", passed(sign_in(Client())) + "x", "x" * 1000):
        client.post(LOGIN, {"passed": kept, "code": code_of(device)})
        assert not is_in(client)


def test_code_comes_too_late_after_five_minutes(
    ada: User, device: TOTPDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    kept, now = passed(sign_in(client)), time.time
    monkeypatch.setattr("django.core.signing.time.time", lambda: now() + 301)
    response = client.post(LOGIN, {"passed": kept, "code": code_of(device)})
    assert SignIn.error_messages["too_late"] in response.content.decode()
    assert not is_in(client)


def test_code_is_of_no_use_when_the_password_has_changed_meanwhile(ada: User, device: TOTPDevice) -> None:
    client = Client()
    kept = passed(sign_in(client))
    ada.set_password("another one, and long")
    ada.save()
    client.post(LOGIN, {"passed": kept, "code": code_of(device)})
    assert not is_in(client)


def test_app_that_was_never_confirmed_is_not_asked_for(ada: User) -> None:
    begin(ada)
    client = Client()
    sign_in(client)
    assert is_in(client)


# --- The password ------------------------------------------------------------------------------


def test_changed_password_is_told(ada: User, shop: Business) -> None:
    client = Client()
    client.force_login(ada)
    new = "another one, and long"
    sent = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", sent).status_code == 302
    assert told(shop) == [("person:ada", "changed the password")]
    assert is_in(client)


def test_old_password_can_not_be_guessed_where_it_is_changed(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    new = "another one, and long"
    sent = {"old_password": "guess", "new_password1": new, "new_password2": new}
    answers = [
        client.post("/admin/password_change/", sent).status_code for _ in range(settings.AXES_FAILURE_LIMIT)
    ]
    assert answers == [200] * 4 + [429]
    assert client.post("/admin/password_change/", {**sent, "old_password": PASSWORD}).status_code == 429
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_person_who_works_nowhere_can_still_change_their_password() -> None:
    client = Client()
    client.force_login(User.objects.create_user("cleo", password=PASSWORD, is_staff=True))
    assert client.get("/admin/password_change/").status_code == 200
