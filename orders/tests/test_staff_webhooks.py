"""The page Webhooks: addresses, their secrets, and what they were told."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from catalog.models import AuditEntry, Business, Membership
from factories import order_in, place, product
from orders import webhooks
from orders.models import WebhookEndpoint
from orders.tests.receiver import Receiver, receiver
from orders.tests.staff import read, signed_in
from orders_project import signatures

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

PAGE = "/staff/webhooks/"
URL = "https://shop.example/holdfast"


@pytest.fixture
def ada(shop: Business) -> Client:
    product(shop)
    return signed_in(shop)


@pytest.fixture
def program(settings: Any) -> Any:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with receiver() as there:
        yield there


def add(ada: Client, url: str = URL) -> WebhookEndpoint:
    read(ada.post(PAGE, {"url": url}))
    return WebhookEndpoint.objects.latest("created_at")


def secrets_on(page: str) -> list[str]:
    return re.findall(r"whsec_[\w+/]+=*", page)


def press(ada: Client, address: str, **sent: Any) -> str:
    """What is said after a button was pressed."""
    ada.post(address, {"back": PAGE, **sent})
    return read(ada.get(PAGE))


def test_page_without_addresses_says_what_they_are_for(ada: Client) -> None:
    assert "Nobody is told" in read(ada.get(PAGE))


def test_secret_is_shown_once(ada: Client, shop: Business) -> None:
    shown = secrets_on(read(ada.post(PAGE, {"url": URL})))
    endpoint = WebhookEndpoint.objects.get(business=shop)
    assert shown == [signatures.secret(endpoint.id, 1)]
    page = read(ada.get(PAGE))
    assert URL in page
    assert secrets_on(page) == []
    assert AuditEntry.objects.filter(business=shop, action="added", subject=str(endpoint.id)).exists()


def test_new_secret_is_shown_once_however_often_it_is_asked_for(ada: Client) -> None:
    endpoint = add(ada)
    address = f"{PAGE}{endpoint.id}/secret/"
    new = signatures.secret(endpoint.id, 2)
    for _ in range(2):
        page = read(ada.post(address, {"generation": 1}))
        assert secrets_on(page) == [new]
        assert "the one before signs, too" in page
    assert secrets_on(read(ada.get(address))) == []
    assert secrets_on(read(ada.post(address, {"generation": "x"}))) == []


@pytest.mark.parametrize("url", ["", "http://shop.example", "https://10.0.0.1/", "https://x.example/" + "x" * 500])
def test_address_that_is_none_is_refused_beside_the_field(ada: Client, shop: Business, url: str) -> None:
    page = read(ada.post(PAGE, {"url": url}))
    assert 'class="errorlist"' in page
    assert f'value="{url}"' in page or not url
    assert not WebhookEndpoint.objects.filter(business=shop).exists()


def test_test_says_what_was_answered(ada: Client, program: Receiver) -> None:
    endpoint = add(ada, program.url)
    assert "The test got through. It answered 200." in press(ada, f"{PAGE}{endpoint.id}/test/")
    program.answer = lambda message: 404
    assert "The test didn’t get through. It answered 404." in press(ada, f"{PAGE}{endpoint.id}/test/")


def test_page_tells_how_it_goes(ada: Client, shop: Business) -> None:
    endpoint = add(ada)
    order = order_in(shop, "paid")
    assert "Not told yet: 2 events." in read(ada.get(PAGE))
    first = endpoint.deliveries.earliest("event")
    first.status, first.error, first.tries = None, "It took too long.", 3
    first.save(update_fields=["status", "error", "tries"])
    WebhookEndpoint.objects.update(failing_since=order.created_at)
    page = read(ada.get(PAGE))
    assert re.search(r"Nothing gets through since .*?</span> It took too long\.", page)
    assert "It took too long. 3 tries" in page
    assert order.number in page


def test_address_that_fails_for_a_while_stands_on_home(ada: Client, shop: Business, now: datetime) -> None:
    endpoint = add(ada)
    title = "addresses that nothing gets through to"

    def failing(minutes: int) -> None:
        WebhookEndpoint.objects.update(failing_since=now - timedelta(minutes=minutes))

    failing(1)
    assert title not in read(ada.get("/admin/"))
    failing(11)
    assert title in read(ada.get("/admin/"))
    assert title not in read(signed_in(shop, Membership.Role.MANAGER).get("/admin/"))
    press(ada, f"{PAGE}{endpoint.id}/close/")
    assert title not in read(ada.get("/admin/"))


def test_event_is_sent_again(ada: Client, shop: Business, program: Receiver) -> None:
    endpoint = add(ada, program.url)
    place(shop, ("MUG-01", 1))
    webhooks.work()
    (delivery,) = endpoint.deliveries.all()
    assert "sent again" in press(ada, f"{PAGE}{endpoint.id}/{delivery.event_id}/again/")
    webhooks.work()
    assert len(program.messages) == 2


def test_closed_address_stands_below(ada: Client, shop: Business) -> None:
    endpoint = add(ada)
    page = press(ada, f"{PAGE}{endpoint.id}/close/")
    assert "it is told nothing any more" in page
    assert "Nobody is told" in page
    assert f'<td data-label="Address" class="hf-written">{URL}</td>' in page
    assert "There is no such webhook" in press(ada, f"{PAGE}{endpoint.id}/test/")
