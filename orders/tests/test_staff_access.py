"""The staff pages: who sees them, and who may act."""

from io import BytesIO

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import get_resolver

from catalog.models import Alert, Business, Membership
from factories import BusinessFactory, place, product
from orders.models import Order
from orders.tests.staff import read, signed_in

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role

PAGES = ("stock-health", "holds", "alerts", "findings", "jobs", "analytics")


# --- Who sees what -----------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/staff/"])
def test_front_door_leads_home(shop: Business, address: str) -> None:
    response = signed_in(shop).get(address)
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("page", PAGES)
def test_page_is_shown_to_everyone_who_works_there(shop: Business, page: str, role: str) -> None:
    assert shop.name in read(signed_in(shop, role).get(f"/staff/{page}/"))


@pytest.mark.parametrize("page", PAGES)
def test_page_asks_strangers_to_sign_in(shop: Business, page: str) -> None:
    response = Client().get(f"/staff/{page}/?range=7d")
    assert response.status_code == 302
    assert response.headers["Location"] == f"/admin/login/?next=/staff/{page}/%3Frange%3D7d"


@pytest.mark.parametrize("page", PAGES)
def test_page_of_another_business_is_missing(shop: Business, page: str) -> None:
    other = BusinessFactory()
    client = signed_in(shop)
    assert client.get(f"/staff/{page}/", {"business": other.slug}).status_code == 404
    assert client.get(f"/staff/{page}/", {"business": "no\0such"}).status_code == 404
    superuser = signed_in(shop, None, is_superuser=True)
    assert other.name in read(superuser.get(f"/staff/{page}/", {"business": other.slug}))


def test_product_of_another_business_is_missing(shop: Business) -> None:
    foreign = product(BusinessFactory())
    assert signed_in(shop).get(f"/staff/products/{foreign.id}/").status_code == 404


def test_person_of_no_business_is_told_so(shop: Business) -> None:
    assert signed_in(shop, None).get("/staff/stock-health/").status_code == 403


def test_person_of_two_businesses_chooses(shop: Business) -> None:
    other = BusinessFactory()
    client = signed_in(shop)
    Membership.objects.create(business=other, user=User.objects.latest("id"), role=Role.VIEWER)
    page = read(client.get("/staff/holds/", {"business": other.slug}))
    assert f'<option value="{other.slug}" selected>' in page
    assert f'<option value="{shop.slug}">' in page


@pytest.mark.parametrize(
    "address",
    [
        "/staff/stock-health/?range=1000y",
        "/staff/alerts/?state=lost",
        "/staff/jobs/?job=sleep",
        "/staff/jobs/?before=yesterday",
        "/staff/holds/?after=2026-11-23",
        "/staff/analytics/?range=1s",
    ],
)
def test_page_that_does_not_exist_is_missing(shop: Business, address: str) -> None:
    assert signed_in(shop).get(address).status_code == 404


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/staff/alerts/?state=lost", "There is no state “lost”."),
        ("/admin/orders/order/?status__exact=paidd", "There is no status “paidd”."),
        ("/admin/orders/order/?needs=sleep", "What needs a hand: there is no “sleep”."),
        ("/admin/orders/order/?created_at_from=2026-13-45", "Day “2026-13-45”: Enter a valid date."),
        ("/admin/nowhere/", "There is no such page, or it isn’t yours to see."),
    ],
)
def test_what_is_not_there_is_said_in_the_back_office(shop: Business, address: str, says: str) -> None:
    response = signed_in(shop).get(address)
    page = response.content.decode()
    assert (response.status_code, says in page, shop.name in page) == (404, True, True)
    stranger = Client().get("/nowhere/")
    assert (stranger.status_code, shop.name in stranger.content.decode()) == (404, False)


def test_person_is_not_told_of_keys(shop: Business) -> None:
    response = signed_in(shop, Role.VIEWER).get("/staff/orders/new/")
    page = response.content.decode()
    assert (response.status_code, shop.name in page) == (403, True)
    assert "Ask an owner for a role that may." in page
    assert "key that may" not in page


def test_icon_is_where_browsers_look_for_it() -> None:
    response = Client().get("/favicon.ico")
    assert (response.status_code, response.headers["Location"].endswith("icon.svg")) == (302, True)


# --- Who may act -------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "status"), [("owner", 302), ("manager", 302), ("packer", 403), ("viewer", 403)])
def test_buttons_are_for_owners_and_managers(
    shop: Business, actions: dict[str, dict[str, str]], role: str, status: int
) -> None:
    client = signed_in(shop, role)
    for address, sent in actions.items():
        assert client.post(address, sent).status_code == status, address
        assert client.get(address).status_code == 405, address


def test_buttons_are_not_shown_to_who_may_not_press_them(shop: Business) -> None:
    product(shop)
    place(shop, ("MUG-01", 1))
    assert "Give more time" in read(signed_in(shop, Role.MANAGER).get("/staff/holds/"))
    assert "Give more time" not in read(signed_in(shop, Role.PACKER).get("/staff/holds/"))


def test_buttons_need_a_token(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    client.handler.enforce_csrf_checks = True
    for address, sent in actions.items():
        assert client.post(address, sent).status_code == 403, address


def test_buttons_of_another_business_do_nothing(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    order = Order.objects.get(business=shop)
    client = signed_in(BusinessFactory())
    for address, sent in actions.items():
        client.post(address, sent)
        assert client.post(f"{address}?business={shop.slug}", sent).status_code == 404
    order.refresh_from_db()
    assert (order.status, order.version) == ("pending", 1)
    assert Alert.objects.get(business=shop).acknowledged_at is None


def test_button_leads_back_to_pages_of_ours_only(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    (address,) = (one for one in actions if "acknowledge" in one)
    for wanted, leads in {
        "/staff/alerts/?state=all": "/staff/alerts/?state=all",
        "//evil.example/": "/staff/stock-health/",
        "https://evil.example/": "/staff/stock-health/",
        "": "/staff/stock-health/",
    }.items():
        assert client.post(address, {"back": wanted}).headers["Location"] == leads


def test_button_of_who_is_signed_out_leads_back_to_the_page(
    shop: Business, actions: dict[str, dict[str, str]]
) -> None:
    for address, sent in actions.items():
        response = Client().post(address, {**sent, "back": "/staff/holds/?sku=MUG-01"})
        assert response.headers["Location"] == "/admin/login/?next=/staff/holds/%3Fsku%3DMUG-01"
        stranger = Client().post(address, {**sent, "back": "https://evil.example/"})
        assert stranger.headers["Location"] == "/admin/login/?next=/staff/stock-health/"


# --- What goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "kind"), [("/staff/holds/", "text/html"), ("/api/v1/orders", "application/")])
def test_failure_is_told_in_words(address: str, kind: str) -> None:
    response = get_resolver().resolve_error_handler(500)(RequestFactory().get(address))
    assert response.status_code == 500
    assert response.headers["Content-Type"].startswith(kind)
    assert "Something went wrong on our side" in response.content.decode()


def test_form_from_elsewhere_is_refused_in_words(shop: Business) -> None:
    client = signed_in(shop)
    client.handler.enforce_csrf_checks = True
    response = client.post("/staff/count/", {"reason": "Mine"})
    assert response.status_code == 403
    assert "didn’t come from a page of ours" in response.content.decode()


class Unread(BytesIO):
    """A body that nobody may read."""

    def read(self, *_: int) -> bytes:
        raise AssertionError("it was read")


def test_body_that_is_too_large_is_refused_unread(shop: Business) -> None:
    client = signed_in(shop)
    sent = {"wsgi.input": Unread(), "CONTENT_TYPE": "multipart/form-data; boundary=x"}
    for length in ("6000001", "9" * 30, "-1", "x"):
        response = client.post("/admin/catalog/product/import/", **sent, CONTENT_LENGTH=length)
        assert response.status_code == 413
        assert "split it" in response.content.decode()
