"""What every answer tells browsers and caches, whoever gives it: pages, API, files, refusals, lanes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from callers import an_order
from catalog.models import Business
from conftest import PATIENCE
from factories import api_key, product
from orders.tests.staff import signed_in
from orders.tests.test_rights_api import addresses

POLICY = {
    "default-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
    "script-src": "'self' 'unsafe-eval'",
}

# As in production, where the settings of the tests differ.
PRODUCTION = override_settings(
    SECURE_SSL_REDIRECT=True,
    SECURE_HSTS_SECONDS=31_536_000,
    SECURE_HSTS_INCLUDE_SUBDOMAINS=True,
    SESSION_COOKIE_SECURE=True,
    CSRF_COOKIE_SECURE=True,
)


def missing(answer: Any, *, is_secure: bool = True) -> Iterator[str]:
    """What an answer doesn't tell that it should."""
    headers = answer.headers
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if is_secure:
        expected["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    for name, value in expected.items():
        if not headers.get(name, "").startswith(value):
            yield name
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers.get("Content-Security-Policy", "").split(";")
    )
    if not POLICY.items() <= policy.items():
        yield "Content-Security-Policy"
    if "camera=()" not in headers.get("Permissions-Policy", ""):
        yield "Permissions-Policy"
    if "no-store" not in headers.get("Cache-Control", ""):
        yield "Cache-Control"
    if "Access-Control-Allow-Origin" in headers:
        yield "no other site's page may read it"


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@PRODUCTION
def test_every_answer_tells_browsers_what_they_may(shop: Business) -> None:
    """At every address there is: to owners, and to strangers by a method that is of no use there."""
    wrong, answered = [], set()
    for client, method in ((signed_in(shop), "GET"), (Client(), "PUT")):
        for _, address in addresses():
            answer = client.generic(method, address, secure=True, headers={"Origin": "https://evil.example"})
            answered.add(answer.status_code)
            wrong += [(method, address, what) for what in missing(answer)]
    assert wrong == []
    assert {200, 302, 401, 403, 404, 405} <= answered


@pytest.mark.usefixtures("db")
@PRODUCTION
def test_plain_http_is_answered_with_the_way_to_tls() -> None:
    answer = Client().get("/staff/holds/")
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://testserver/staff/holds/")
    assert "sessionid" not in answer.cookies


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "testserver:80:80", "", "a b", "[::1"])
def test_host_that_is_not_ours_is_refused(host: str) -> None:
    for address in ("/admin/login/", "/forgotten/", "/api/v1/orders", "/api/docs"):
        assert Client(SERVER_NAME="evil.example", headers={"Host": host}).get(address).status_code == 400


@pytest.mark.usefixtures("db")
@PRODUCTION
def test_cookies_are_for_our_own_pages_over_tls() -> None:
    User.objects.create_user("ada", password="correct horse battery", is_staff=True)
    client = Client()
    client.get("/admin/login/", secure=True)
    client.post("/admin/login/", {"username": "ada", "password": "correct horse battery"}, secure=True)
    assert len(client.cookies) == 3
    for cookie in client.cookies.values():
        told = (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"])
        assert told == (True, True, "Lax", "/", ""), cookie.key


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_lanes_tell_the_same(server: str, shop: Business) -> None:
    mug = product(shop)
    for key in (api_key(shop), "hf_unknown"):
        headers = {"Authorization": f"Api-Key {key}", "Origin": "https://evil.example"}
        with httpx.Client(base_url=server, headers=headers, timeout=PATIENCE) as client:
            for answer in (
                client.post("/api/v1/orders", json=an_order()),
                client.get(f"/api/v1/products/{mug.id}/availability"),
            ):
                assert "allow" not in answer.headers  # which Django's answers have
                assert list(missing(answer, is_secure=False)) == []
