"""The pages of payment sources, where owners are, and of payment notices, where something is to be seen to."""

import re
from typing import Any

import pytest
from django.test import Client

from callers import Provider, refused
from catalog.models import AuditEntry, Business
from factories import BusinessFactory, place, product, verb
from orders import payment_sources
from orders.models import PaymentNotice, PaymentSource
from orders.payment_notices import CAPTURED
from orders.tests.staff import read, signed_in

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

SOURCES = "/staff/payment-sources/"
NOTICES = "/staff/payment-notices/"


def secret_in(page: str) -> str:
    (found,) = re.findall(r'value="(whsec_[^"]+)"', page)
    return found


def test_source_is_added_and_shows_its_secret_once(shop: Business) -> None:
    ada = signed_in(shop)
    response = ada.post(SOURCES, {"name": "stripe"})
    page = read(response)
    source = PaymentSource.objects.get(business=shop)
    assert secret_in(page) == source.secret
    assert "no-store" in response.headers["Cache-Control"]
    again = read(ada.get(SOURCES))
    assert "stripe" in again
    assert f"http://testserver/api/v1/payment-notices/{source.id}" in again
    assert "whsec_" not in again + str(list(AuditEntry.objects.filter(business=shop).values()))
    assert "payments by stripe already" in read(ada.post(SOURCES, {"name": "stripe"}))
    assert "payments by hand already" in read(ada.post(SOURCES, {"name": "hand"}))


def test_sources_are_few(shop: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_sources, "MOST_SOURCES", 2)
    ada = signed_in(shop)
    for name in ("stripe", "paypal"):
        ada.post(SOURCES, {"name": name})
    assert "2 are the most" in read(ada.post(SOURCES, {"name": "klarna"}))
    assert PaymentSource.objects.filter(business=shop).count() == 2


def test_secret_is_changed_once_by_a_double_click(shop: Business) -> None:
    ada = signed_in(shop)
    first = secret_in(read(ada.post(SOURCES, {"name": "stripe"})))
    source = PaymentSource.objects.get(business=shop)
    address = f"{SOURCES}{source.id}/secret/"
    second, repeated = (secret_in(read(ada.post(address, {"generation": 1}))) for _ in range(2))
    assert first != second == repeated
    ada.post(address, {"generation": 2})
    stale = read(ada.post(address, {"generation": 1}))
    assert "changed meanwhile" in stale
    assert "whsec_" not in stale
    assert "the one before is good until" in stale
    told = AuditEntry.objects.filter(business=shop).order_by("id").values_list("action", "title")
    assert list(told) == [("added", "stripe"), *[("changed the secret of", "stripe")] * 2]


def test_source_that_is_closed_takes_nothing(shop: Business) -> None:
    ada, provider = signed_in(shop), Provider(shop)
    ada.post(f"{SOURCES}{provider.source.id}/close/")
    refused(provider.tells("ping", {}), 401, "invalid_signature")
    assert "None. With a payment source" in read(ada.get(SOURCES))
    assert ada.post(f"{SOURCES}{provider.source.id}/secret/", {"generation": 1}).status_code == 404
    assert secret_in(read(ada.post(SOURCES, {"name": "stripe"}))) != provider.source.secret


def test_source_of_another_business_stays_as_it_is(shop: Business) -> None:
    ada, theirs = signed_in(shop), Provider(BusinessFactory())
    assert ada.post(f"{SOURCES}{theirs.source.id}/secret/", {"generation": 1}).status_code == 404
    ada.post(f"{SOURCES}{theirs.source.id}/close/")
    theirs.source.refresh_from_db()
    assert (theirs.source.generation, theirs.source.closed_at) == (1, None)


# --- Notices -----------------------------------------------------------------------------------


@pytest.fixture
def unmatched(shop: Business) -> PaymentNotice:
    """A payment of an order that can't take it, for it is only a draft."""
    product(shop)
    order = place(shop, ("MUG-01", 1), draft=True)
    Provider(shop, "<b>bank").tells(CAPTURED, order, reference="pi-7")
    return PaymentNotice.objects.get(business=shop)


def home(client: Client) -> str:
    return read(client.get("/admin/"))


def test_payment_that_fits_no_order_is_shown_until_somebody_has_seen_to_it(
    shop: Business, unmatched: PaymentNotice
) -> None:
    ada = signed_in(shop)
    assert "payments that fit no order" in home(ada)
    page = read(ada.get(NOTICES))
    for words in ("Paid, by &lt;b&gt;bank", "£9.90", "pi-7", unmatched.order.number, "illegal_transition"):
        assert words in page
    ada.post(f"{NOTICES}{unmatched.id}/done/", {"back": NOTICES})
    assert "Every payment that was told of has its order" in read(ada.get(NOTICES))
    assert "Seen to by user-" in read(ada.get(NOTICES, {"state": "all"}))
    assert "payments that fit no order" not in home(ada)
    (entry,) = AuditEntry.objects.filter(business=shop, kind="payment notice")
    assert entry.action == "put away"
    assert f"{unmatched.id}/try/" in read(ada.get(NOTICES, {"state": "all"}))


def test_payment_is_tried_again_by_a_button(shop: Business, unmatched: PaymentNotice) -> None:
    ada = signed_in(shop)

    def pressed() -> tuple[str, str]:
        """What is said, and how."""
        response = ada.post(f"{NOTICES}{unmatched.id}/try/", {"back": NOTICES}, follow=True)
        (said,) = response.context["messages"]
        return said.level_tag, str(said)

    level, still = pressed()
    assert level == "error"
    assert still.startswith("Still not done: The order is draft")
    verb("submit", unmatched.order)
    assert pressed() == ("success", "Done: it has its order now.")
    unmatched.order.refresh_from_db()
    assert unmatched.order.status == "paid"
    assert "settled already" in pressed()[1]


def test_payment_that_waits_says_for_what(shop: Business) -> None:
    money: dict[str, Any] = {"reference": "pi-1", "amount": "5", "currency": "GBP"}
    Provider(shop).tells(CAPTURED, {"channel": "website", "external_id": "shop-77"}, **money)
    ada = signed_in(shop)
    page = read(ada.get(NOTICES, {"state": "waiting"}))
    assert "website shop-77" in page
    assert "There is no such order here, or not yet." in page
    assert "shop-77" not in read(ada.get(NOTICES))


def test_notice_of_another_business_is_not_touched(shop: Business) -> None:
    others = BusinessFactory()
    Provider(others).tells(CAPTURED, {"number": "1"}, reference="pi-1", amount="5", currency="GBP")
    notice = PaymentNotice.objects.get(business=others)
    ada = signed_in(shop)
    for button in ("try", "done"):
        page = read(ada.post(f"{NOTICES}{notice.id}/{button}/", {"back": NOTICES}, follow=True))
        assert "There is no such payment notice" in page
    notice.refresh_from_db()
    assert (notice.outcome, notice.tries) == ("waiting", 1)
