"""The pages of owners, people, keys and settings, and everybody's own account."""

import html
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from PIL import Image

from callers import Caller, refused
from catalog.alerts import Condition, Kind, Severity, settle
from catalog.digest import send_digest
from catalog.models import ApiKey, AuditEntry, Business, Logo, Membership
from catalog.second_step import verify
from catalog.staff import wants_second_step
from factories import BusinessFactory, order_in, product
from orders.models import DailySales
from orders.tests.staff import read, signed_in
from orders_project.clock import database_now

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role

PASSWORD = "correct horse battery"


@pytest.fixture
def ada(shop: Business) -> Client:
    """The owner's browser."""
    client = signed_in(shop)
    user = User.objects.latest("id")
    user.set_password(PASSWORD)
    user.save()
    client.force_login(user)
    return client


def me() -> User:
    return User.objects.latest("id")


def told(shop: Business) -> list[tuple[str, str]]:
    return list(AuditEntry.objects.filter(business=shop).order_by("id").values_list("action", "title"))


# --- People ------------------------------------------------------------------------------------


def invite(client: Client, who: str = "ben@example.com", role: str = "packer") -> Any:
    return client.post("/staff/people/", {"who": who, "role": role})


def link_in(page: str) -> str:
    (address,) = re.findall(r'value="http://testserver(/welcome/[^"]+)"', page)
    return html.unescape(address)


def test_person_who_is_invited_sets_a_password_and_works_there(ada: Client, shop: Business) -> None:
    page = read(invite(ada))
    address = link_in(page)
    (sent,) = mail.outbox
    assert sent.to == ["ben@example.com"]
    assert address in sent.body
    assert shop.name in sent.subject
    assert "invited, no password yet" in page
    assert address not in read(ada.get("/staff/people/"))  # shown once

    ben = Client()
    form = ben.get(address, follow=True)
    new = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    assert ben.post(form.redirect_chain[-1][0], new).headers["Location"] == "/admin/login/"
    assert "used already" in read(Client().get(address, follow=True))
    ben.post("/admin/login/", {"username": "ben@example.com", "password": PASSWORD})
    assert shop.name in read(ben.get("/staff/holds/"))
    assert told(shop) == [(what, "ben@example.com") for what in ("added", "set a password", "signed in")]


def test_person_who_has_an_account_works_there_once_they_accept(ada: Client, shop: Business) -> None:
    Business.objects.filter(id=shop.id).update(name="Harbour\nBcc: eve@example.com")
    cleo = User.objects.create_user("cleo", email="cleo@example.com", password=PASSWORD, is_staff=True)
    page = read(ada.post("/staff/people/", {"who": "cleo", "role": "viewer"}, follow=True))
    assert "hasn’t accepted yet" in page
    (sent,) = mail.outbox
    assert (sent.to, sent.recipients()) == (["cleo@example.com"], ["cleo@example.com"])
    assert sent.subject == "You are invited to work at Harbour Bcc: eve@example.com"
    (address,) = re.findall(r"http://testserver(/welcome/\S+)", sent.body)
    assert address not in page  # only their mailbox shows it

    client = Client()
    assert client.get(address).headers["Location"].startswith("/admin/login/")
    assert "for somebody else" in read(ada.get(address))
    client.force_login(cleo)
    assert client.get("/staff/holds/").status_code == 403
    assert "You will work there as <strong>Viewer" in read(client.get(address))
    assert client.get("/staff/holds/").status_code == 403
    assert client.post(address).status_code == 302
    assert "Harbour" in read(client.get("/staff/holds/"))
    assert "used already" in read(client.get(address))


def test_place_that_was_not_accepted_is_told_of_no_alert_and_no_sign_in(ada: Client, shop: Business) -> None:
    cleo = User.objects.create_user("cleo", email="cleo@example.com", password=PASSWORD, is_staff=True)
    invite(ada, "cleo", "owner")
    client = Client()
    client.post("/admin/login/", {"username": "cleo", "password": PASSWORD})
    assert told(shop) == [("added", "cleo")]
    assert client.get("/api/v1/products").status_code == 403
    assert not wants_second_step(cleo)
    settle(
        business_id=shop.id,
        kinds=[Kind.LOW_STOCK],
        conditions=[Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 2 left", subject="mug")],
        now=database_now(),
    )
    mail.outbox.clear()
    send_digest(business_id=shop.id, now=database_now())
    assert mail.outbox == []


def test_new_link_makes_the_old_one_void(ada: Client) -> None:
    old = link_in(read(invite(ada)))
    new = link_in(read(invite(ada)))
    assert "used already" in read(Client().get(old, follow=True))
    assert "Set the password" in read(Client().get(new, follow=True))


def test_refused_person_is_said_beside_what_was_typed(ada: Client) -> None:
    page = read(invite(ada, "nobody-here", "viewer"))
    assert "Nobody has this user name" in page
    assert 'value="nobody-here"' in page
    assert '<option value="viewer" selected>' in page


def test_role_is_given_and_taken_at_once(ada: Client, shop: Business) -> None:
    theirs = signed_in(shop, Role.VIEWER)
    ben = Membership.objects.get(business=shop, role=Role.VIEWER)
    assert theirs.get("/staff/people/").status_code == 403
    ada.post(f"/staff/people/{ben.id}/role/", {"role": "owner"})
    assert theirs.get("/staff/people/").status_code == 200
    ada.post(f"/staff/people/{ben.id}/remove/")
    assert theirs.get("/staff/people/").status_code == 403


@pytest.mark.parametrize(("role", "says"), [("king", "no such role"), ("viewer", "ask another owner")])
def test_refused_role_is_said(ada: Client, shop: Business, role: str, says: str) -> None:
    mine = Membership.objects.get(business=shop)
    sent = {"role": role, "back": "/staff/people/"}
    assert says in read(ada.post(f"/staff/people/{mine.id}/role/", sent, follow=True))
    mine.refresh_from_db()
    assert mine.role == Role.OWNER


# --- Keys --------------------------------------------------------------------------------------


def make_key(client: Client, name: str = "Website", scope: str = "write") -> str:
    found = re.search(r'value="(hf_[^"]{40,})"', read(client.post("/staff/keys/", {"name": name, "scope": scope})))
    assert found
    return found[1]


def test_key_is_shown_once_works_and_is_refused_once_revoked(
    ada: Client, shop: Business, caplog: pytest.LogCaptureFixture
) -> None:
    text = make_key(ada)
    key = ApiKey.objects.get(business=shop)
    caller = Caller(key=text)
    assert caller.get("/products").status_code == 200
    again = ada.get("/staff/keys/")
    assert key.prefix in read(again)
    assert text not in read(again) + str(ada.cookies) + str(dict(ada.session)) + caplog.text
    assert not AuditEntry.objects.filter(changes__icontains=text[10:]).exists()

    assert ada.post(f"/staff/keys/{key.id}/revoke/").status_code == 302
    refused(caller.get("/products"), 401, "not_authenticated")
    assert told(shop) == [("made", str(key)), ("revoked", str(key))]


def test_answer_with_a_key_is_kept_by_no_browser(ada: Client) -> None:
    response = ada.post("/staff/keys/", {"name": "Website", "scope": "read"})
    assert "no-store" in response.headers["Cache-Control"]


def test_key_made_again_by_a_reload_is_refused(ada: Client, shop: Business) -> None:
    make_key(ada)
    assert "There is a key named Website" in read(ada.post("/staff/keys/", {"name": "Website", "scope": "read"}))
    assert ApiKey.objects.filter(business=shop).count() == 1


def test_key_of_another_business_is_not_revoked(ada: Client) -> None:
    other = signed_in(BusinessFactory())
    make_key(other)
    key = ApiKey.objects.latest("id")
    ada.post(f"/staff/keys/{key.id}/revoke/")
    key.refresh_from_db()
    assert key.revoked_at is None


# --- Settings ----------------------------------------------------------------------------------


def as_they_are(shop: Business) -> dict[str, Any]:
    names = ("name", "currency", "country", "time_zone", "payment_window_minutes", "duplicate_window_seconds")
    return {
        name: getattr(shop, name)
        for name in (*names, "most_open_orders", "low_stock_default", "reconcile_up_to", "loyal_spend")
    }


def save(client: Client, shop: Business, **changes: Any) -> Any:
    return client.post("/staff/settings/", {**as_they_are(shop), **changes})


def test_settings_are_saved_and_told(ada: Client, shop: Business) -> None:
    assert save(ada, shop, name="Harbour", payment_window_minutes="30").status_code == 302
    shop.refresh_from_db()
    assert (shop.name, shop.payment_window_minutes) == ("Harbour", 30)
    (entry,) = AuditEntry.objects.filter(business=shop)
    assert entry.changes["payment_window_minutes"] == ["15", "30"]
    assert set(entry.changes) == {"name", "payment_window_minutes"}
    listed = read(ada.get("/admin/catalog/auditentry/"))
    assert "payment window minutes: 15 → 30" in listed


def test_settings_allow_any_number_of_open_orders(ada: Client, shop: Business) -> None:
    shown = {"initial-most_open_orders": "50"}
    assert save(ada, shop, most_open_orders="", **shown).status_code == 302
    shop.refresh_from_db()
    assert shop.most_open_orders is None


def test_settings_leave_what_others_changed_since_the_form_was_opened(ada: Client, shop: Business) -> None:
    shown = {f"initial-{name}": value for name, value in as_they_are(shop).items()}
    Business.objects.filter(id=shop.id).update(payment_window_minutes=45)
    assert save(ada, shop, name="Harbour", **shown).status_code == 302
    shop.refresh_from_db()
    assert (shop.name, shop.payment_window_minutes) == ("Harbour", 45)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_zone", "Mars/Olympus"),
        ("country", "XX"),
        ("currency", "gbp"),
        ("payment_window_minutes", "0"),
        ("payment_window_minutes", "1441"),
        ("most_open_orders", "0"),
        ("most_open_orders", "10001"),
        ("low_stock_default", "-1"),
        ("loyal_spend", "0"),
        ("name", ""),
        ("name", "Harbour\nBcc: eve@example.com"),
    ],
)
def test_settings_that_make_no_sense_are_refused(ada: Client, shop: Business, name: str, value: str) -> None:
    assert 'aria-invalid="true"' in read(save(ada, shop, **{name: value}))
    before = as_they_are(shop)
    shop.refresh_from_db()
    assert as_they_are(shop) == before


def test_currency_is_fixed_when_prices_are_on_file(ada: Client, shop: Business) -> None:
    assert save(ada, shop, currency="EUR").status_code == 302
    shop.refresh_from_db()
    assert shop.currency == "EUR"
    product(shop)
    save(ada, shop, currency="USD", name="Renamed")
    shop.refresh_from_db()
    assert (shop.currency, shop.name) == ("EUR", "Renamed")


def test_another_time_zone_counts_the_sales_anew(ada: Client, shop: Business, all_is_well: None) -> None:
    product(shop)
    order_in(shop, "paid")
    assert save(ada, shop, time_zone="Pacific/Auckland").status_code == 302
    assert DailySales.objects.filter(business=shop).exists()


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20)) -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", size, "#2266aa").save(drawn, kind)
    return drawn.getvalue()


def upload(client: Client, shop: Business, content: bytes, name: str = "logo.png") -> Any:
    file = io.BytesIO(content)
    file.name = name
    return save(client, shop, logo=file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_logo_is_shown_as_what_it_is(ada: Client, shop: Business, kind: str) -> None:
    """By its content, whatever its name says."""
    assert upload(ada, shop, picture(kind), "logo.txt").status_code == 302
    response = ada.get("/staff/settings/logo/")
    assert response.headers["Content-Type"] == f"image/{kind.lower()}"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert Image.open(io.BytesIO(response.content)).size == (40, 20)
    assert 'alt="Logo of' in read(ada.get("/staff/settings/"))
    ada.post("/staff/settings/logo/remove/")
    assert ada.get("/staff/settings/logo/").status_code == 404


@pytest.mark.slow
def test_logo_is_drawn_anew_without_what_was_hidden_in_it(ada: Client, shop: Business) -> None:
    upload(ada, shop, picture() + b"<script>alert(1)</script>")
    assert b"script" not in bytes(Logo.objects.get(business=shop).image)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x89PNG\r\n\x1a\n",
        picture()[:60],
        picture("GIF"),
        picture("JPEG")[:200],
        b"x" * (Logo.LARGEST + 1),
        picture(size=(2001, 10)),
    ],
    ids=["empty", "svg", "head", "cut", "gif", "cut jpeg", "too many bytes", "too wide"],
)
def test_logo_that_is_none_is_refused(ada: Client, shop: Business, content: bytes) -> None:
    assert 'class="errorlist"' in read(upload(ada, shop, content))
    assert not Logo.objects.filter(business=shop).exists()


def test_refused_logo_changes_no_setting(ada: Client, shop: Business) -> None:
    file = io.BytesIO(b"no picture")
    file.name = "logo.png"
    page = read(save(ada, shop, name="Harbour", logo=file))
    assert 'value="Harbour"' in page
    shop.refresh_from_db()
    assert shop.name != "Harbour"


# --- Account -----------------------------------------------------------------------------------


def turn_on(client: Client) -> list[str]:
    """Turn on the second step; the backup codes."""
    client.get("/staff/account/second-step/")
    device = TOTPDevice.objects.get(user=me())
    sent = {"password": PASSWORD, "code": f"{totp(device.bin_key):06}"}
    return re.findall(r'<li class="hf-code">(\w{8})</li>', read(client.post("/staff/account/second-step/", sent)))


def test_second_step_is_turned_on_and_off(ada: Client, shop: Business) -> None:
    page = read(ada.get("/staff/account/second-step/"))
    assert "<svg" in page
    codes = turn_on(ada)
    assert len(codes) == 10
    assert "10 backup codes left" in read(ada.get("/staff/account/"))
    assert (
        b"Enter a code"
        in Client().post("/admin/login/", {"username": me().username, "password": PASSWORD}).content
    )
    off = {"password": PASSWORD, "code": codes[0]}
    assert ada.post("/staff/account/second-step/off/", off).status_code == 302
    assert not TOTPDevice.objects.filter(user=me()).exists()
    assert [what for what, _ in told(shop)] == ["turned the second step on", "turned the second step off"]


@pytest.mark.parametrize("wrong", ["password", "code"])
def test_second_step_needs_password_and_code(ada: Client, wrong: str) -> None:
    ada.get("/staff/account/second-step/")
    device = TOTPDevice.objects.get(user=me())
    sent = {"password": PASSWORD, "code": f"{totp(device.bin_key):06}", wrong: "000000"}
    assert 'class="errorlist"' in read(ada.post("/staff/account/second-step/", sent))
    device.refresh_from_db()
    assert not device.confirmed


@pytest.mark.parametrize("wrong", ["password", "code"])
def test_second_step_is_not_turned_off_by_who_found_an_open_browser(ada: Client, wrong: str) -> None:
    code, *_ = turn_on(ada)
    ada.post("/staff/account/second-step/off/", {"password": PASSWORD, "code": code, wrong: "guess"})
    assert TOTPDevice.objects.filter(user=me(), confirmed=True).exists()


def test_new_backup_codes_take_the_place_of_the_old(ada: Client) -> None:
    old, another, *_ = turn_on(ada)
    page = read(ada.post("/staff/account/backup-codes/", {"password": PASSWORD, "code": another}))
    new, *_ = re.findall(r'<li class="hf-code">(\w{8})</li>', page)
    assert verify(me(), new) is not None
    assert verify(me(), old) is None


@pytest.mark.parametrize("wrong", ["password", "code"])
def test_new_backup_codes_are_not_made_by_who_found_an_open_browser(ada: Client, wrong: str) -> None:
    old, another, *_ = turn_on(ada)
    sent = {"password": PASSWORD, "code": another, wrong: "guess"}
    assert ada.post("/staff/account/backup-codes/", sent).status_code == 302
    assert StaticToken.objects.filter(token=old).exists()


def test_passwords_can_not_be_guessed_at_an_open_browser(ada: Client) -> None:
    answers = [ada.post("/staff/account/sign-out-elsewhere/", {"password": "guess"}).status_code for _ in range(5)]
    assert answers[-1] == 429


@pytest.mark.parametrize("by", ["sign out elsewhere", "second step"])
def test_other_browsers_are_signed_out(ada: Client, by: str) -> None:
    other = Client()
    other.force_login(me())
    assert other.get("/staff/holds/").status_code == 200
    if by == "second step":
        turn_on(ada)
    else:
        ada.post("/staff/account/sign-out-elsewhere/", {"password": PASSWORD})
    assert other.get("/staff/holds/").status_code == 302
    assert ada.get("/staff/holds/").status_code == 200
