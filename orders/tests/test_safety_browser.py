"""The door and the pages of owners in a real browser: with a second step, under the content security policy, for
everyone."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from catalog.models import Business, Membership
from factories import place, product
from orders.tests.browser import faults, fits_a_phone, signed_in, visiting

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"

POLICY = ("default-src 'none'", "script-src 'self' 'unsafe-eval'", "frame-ancestors 'none'", "base-uri 'none'")


@pytest.fixture
def ada(committed: None, owner: User) -> User:
    owner.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")  # as the server does it
    owner.save(update_fields=["password"])
    return owner


@pytest.fixture
def stranger(chromium: Browser, server: str) -> Iterator[Page]:
    """A browser that nobody is signed in at."""
    with visiting(chromium, server) as context:
        yield context.new_page()


def enter(page: Page, user: User) -> None:
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_second_step_is_turned_on_and_asked_for_at_the_door(stranger: Page, ada: User, shop: Business) -> None:
    page = stranger
    page.goto("/staff/account/")
    enter(page, ada)
    page.get_by_role("link", name="Turn on the second step").click()
    expect(page.locator(".hf-scan svg")).to_be_visible()
    secret = TOTPDevice.objects.get(user=ada).bin_key
    page.get_by_label("Code that the app shows").fill(f"{totp(secret):06}")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn on the second step").click()
    codes = page.locator(".hf-codes li")
    expect(codes).to_have_count(10)
    code = codes.first.inner_text()

    page.context.clear_cookies()
    page.goto("/staff/account/")
    enter(page, ada)
    page.get_by_label("Code").fill("not a code")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("isn’t right")
    page.wait_for_timeout(1100)  # a wrong code makes the next one wait for a second
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("9 backup codes left")).to_be_visible()

    page.get_by_role("button", name=ada.username).press("Enter")
    page.get_by_role("button", name="Log out").press("Enter")
    page.goto("/staff/account/")
    enter(page, ada)
    page.get_by_label("Code").fill(f"{totp(secret, drift=1):06}")  # the one of before was used
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("9 backup codes left")).to_be_visible()


def test_key_is_made_and_shown_once(chromium: Browser, server: str, ada: User) -> None:
    with signed_in(chromium, server, ada) as context:
        page = context.new_page()
        page.goto("/staff/keys/")
        page.get_by_label("Name").fill("Website")
        page.get_by_role("button", name="Make a key").click()
        expect(page.get_by_label("Key", exact=True)).to_have_value(re.compile("hf_.{40,}"))
        page.goto("/staff/keys/")
        expect(page.get_by_role("cell", name="Website")).to_be_visible()
        expect(page.get_by_label("Key", exact=True)).to_have_count(0)
        page.get_by_text("Revoke", exact=True).click()
        page.get_by_role("button", name="Revoke Website").click()
        expect(page.get_by_text("is revoked")).to_be_visible()


def test_logo_is_uploaded_and_nothing_else_changes(
    chromium: Browser, server: str, ada: User, shop: Business
) -> None:
    """The theme's script writes the name of a file in a text field near by."""
    drawn = io.BytesIO()
    Image.new("RGB", (40, 20), "#2266aa").save(drawn, "PNG")
    with signed_in(chromium, server, ada) as context:
        page = context.new_page()
        page.goto("/staff/settings/")
        page.get_by_label("Logo").set_input_files(
            {"name": "logo.png", "mimeType": "image/png", "buffer": drawn.getvalue()}
        )
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(page.get_by_alt_text(f"Logo of {shop}")).to_be_visible()
    name = shop.name
    shop.refresh_from_db()
    assert shop.name == name


def test_businesses_are_changed_at_the_top_of_every_page(
    chromium: Browser, server: str, owner: User, shop: Business
) -> None:
    other = Business.objects.create(
        name="The other shop", slug=f"other-{shop.slug}"[:60], currency="GBP", country="GB"
    )
    Membership.objects.create(business=other, user=owner, role=Membership.Role.VIEWER)
    with signed_in(chromium, server, owner) as context:
        page = context.new_page()
        page.goto("/admin/orders/order/")
        page.get_by_role("button", name=shop.name).press("Enter")
        page.get_by_role("link", name="The other shop").click()
        page.goto("/admin/orders/order/")
        expect(page.get_by_text("The other shop").first).to_be_visible()


ADDRESSES = (
    "/staff/people/",
    "/staff/keys/",
    "/staff/settings/",
    "/staff/account/",
    "/staff/account/second-step/",
    "/admin/catalog/auditentry/",
    "/admin/password_change/",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_owners_can_be_used_by_everyone(
    chromium: Browser, server: str, ada: User, shop: Business, theme: str
) -> None:
    """No fault that axe knows of, nothing to scroll sideways for on a phone, nothing that the policy refuses."""
    product(shop)
    place(shop, ("MUG-01", 1))
    User.objects.create_user(f"viewer-{shop.slug}", password=PASSWORD)
    found: dict[str, Any] = {}
    with signed_in(chromium, server, ada, color_scheme=theme) as context:
        page = context.new_page()
        for address in ADDRESSES:
            response = page.goto(address)
            assert response is not None
            policy = response.headers["content-security-policy"]
            assert [part for part in POLICY if part not in policy] == []
            for details in page.locator("#page-body details").all():
                details.evaluate("details => details.open = true")
            if wrong := faults(page):
                found[address] = wrong
            fits_a_phone(page)
    assert found == {}


@pytest.mark.parametrize(
    ("address", "button"),
    [("/admin/login/", "Sign in"), ("/forgotten/", "Mail me a link"), ("/api/docs", "")],
)
def test_pages_for_strangers_work_under_the_policy(stranger: Page, address: str, button: str) -> None:
    stranger.goto(address)
    shown = stranger.get_by_role("button", name=button) if button else stranger.locator(".opblock")
    expect(shown.first).to_be_visible()
    assert stranger.goto(address).headers["permissions-policy"]
    if button:
        assert faults(stranger) == []
        fits_a_phone(stranger)
