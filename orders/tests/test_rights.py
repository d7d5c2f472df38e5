"""Who may do what in the back office, page by page: one table. A page that is added without a row fails here, as
does one that shows something of another business."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.audit import record
from catalog.back_office import ShopAdmin
from catalog.models import Alert, ApiKey, AuditEntry, Business, Membership, Product, StockMovement
from catalog.rights import OF_ROLE, Right
from catalog.services import make_api_key
from customers.models import Customer
from factories import ACTOR, BusinessFactory, order_in, product
from orders.models import BulkRun, Discrepancy, Order, OrderEvent, Payment, PaymentNotice, WebhookEndpoint
from orders.payment_notices import CAPTURED
from orders.payment_sources import add_source
from orders.staff import urls
from orders.tests.staff import signed_in
from orders_project.clock import database_now
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role

EVERYONE = None

# Of each page and button of ours: the right that it takes to look (GET), and to press (POST).
STAFF: dict[str, dict[str, Right | None]] = {
    **{
        page: {"GET": EVERYONE}
        for page in (
            *("stock_health", "holds", "alerts", "findings", "jobs", "analytics", "product", "order", "documents"),
            *("bulk_runs", "account", "logo", "payment_notices"),
        )
    },
    "customer": {"GET": EVERYONE, "POST": Right.CUSTOMERS},
    "merge_customer": {"GET": Right.CUSTOMERS, "POST": Right.CUSTOMERS},
    "bulk_run": {"GET": EVERYONE, "POST": Right.PACKING},
    **{page: {"GET": Right.ORDERS} for page in ("new_order_lines", "find_products", "find_customers")},
    "new_order": {"GET": Right.ORDERS, "POST": Right.ORDERS},
    **{
        f"order_{act}": {"POST": right}
        for act, right in {
            "submit": Right.ORDERS,
            "pay": Right.PAYMENTS,
            "process": Right.PACKING,
            "ship": Right.PACKING,
            "correct": Right.PACKING,
            "deliver": Right.PACKING,
            "extend": Right.ORDERS,
            "edit": Right.ORDERS,
            "refund": Right.PAYMENTS,
            "cancel": Right.ORDERS,
            "note": Right.ORDERS,
        }.items()
    },
    "extend_hold": {"POST": Right.ORDERS},
    "release_hold": {"POST": Right.ORDERS},
    **{button: {"POST": Right.ALERTS} for button in ("acknowledge", "take_back", "snooze", "wake")},
    "remedy": {"POST": Right.STOCK},
    **{button: {"POST": Right.PAYMENTS} for button in ("try_payment_notice", "put_away_payment_notice")},
    "receive": {"POST": Right.STOCK},
    "adjust": {"POST": Right.STOCK},
    "keep": {"POST": Right.STOCK},
    "count": {"GET": Right.STOCK, "POST": Right.STOCK},
    **{
        page: {"GET": Right.SETTINGS, "POST": Right.SETTINGS}
        for page in ("people", "keys", "payment_sources", "settings", "webhooks")
    },
    **{button: {"POST": Right.SETTINGS} for button in ("give_role", "remove_person", "revoke_key", "remove_logo")},
    **{button: {"POST": Right.SETTINGS} for button in ("new_payment_secret", "close_payment_source")},
    **{
        button: {"POST": Right.SETTINGS}
        for button in ("new_webhook_secret", "test_webhook", "close_webhook", "send_webhook_again")
    },
    "second_step": {"GET": EVERYONE, "POST": EVERYONE},
    **{button: {"POST": EVERYONE} for button in ("sign_out_elsewhere", "second_step_off", "backup_codes")},
}

# Those of them that are books, too: with ?format=csv they are files, for those who may take them out.
FILES = {"holds", "alerts", "findings", "jobs", "analytics", "product", "bulk_run"}

NOBODY = "nobody"

# Of each list of a business's things: the right that it takes to look, and those to change and to add, if anybody
# may.
LISTS: dict[type[Model], tuple[Right | None, Right | str, Right | str]] = {
    Order: (EVERYONE, NOBODY, NOBODY),
    OrderEvent: (EVERYONE, NOBODY, NOBODY),
    Payment: (EVERYONE, NOBODY, NOBODY),
    Customer: (EVERYONE, NOBODY, NOBODY),
    Product: (EVERYONE, Right.PRODUCTS, Right.PRODUCTS),
    StockMovement: (EVERYONE, NOBODY, NOBODY),
    StockReservation: (EVERYONE, NOBODY, NOBODY),
    AuditEntry: (Right.SETTINGS, NOBODY, NOBODY),
}

ON_PAGES_OF_OURS = {Order, Customer}  # the admin's page of one of them leads there

# What is read from a file, by the beginning of the address's name: the right that it takes.
IMPORTS: dict[str, Right] = {"catalog_product": Right.PRODUCTS, "customers_customer": Right.CUSTOMERS}

# What somebody may do with the orders that they chose in the list.
ACTIONS: dict[str, Right | None] = {
    "confirm_payment": Right.PAYMENTS,
    "start_processing": Right.PACKING,
    "deliver": Right.PACKING,
    "cancel": Right.ORDERS,
    "packing_slips": EVERYONE,
    "invoices": EVERYONE,
    "export_orders": Right.EXPORTS,
    "export_lines": Right.EXPORTS,
}


@pytest.fixture
def things(shop: Business) -> dict[str, Any]:
    return things_of(shop)


def things_of(shop: Business) -> dict[str, Any]:
    """One of everything of a shop, by the name that it has in addresses."""
    now = database_now()
    mug = product(shop)
    endpoint = WebhookEndpoint.objects.create(
        business=shop, url="https://127.0.0.1/", created_at=now, created_by=ACTOR
    )
    order = order_in(shop, "paid")
    order_in(shop, "pending")
    settle(
        business_id=shop.id,
        kinds=[Kind.REFUSALS],
        conditions=[Condition(Kind.REFUSALS, Severity.WARNING, "Many are refused")],
        now=now,
    )
    person = User.objects.create_user(f"packer-{uuid4()}", password="a good long one", is_staff=True)
    record(business_id=shop.id, actor=ACTOR, now=now, action="changed", subject=mug)
    source = add_source(business_id=shop.id, name="stripe", actor=ACTOR, now=now)
    notice = PaymentNotice.objects.create(
        business=shop,
        source=source,
        message_id="msg_1",
        type=CAPTURED,
        facts={"order": {"number": "nobody's"}},
        received_at=now,
        outcome="refused",
    )
    return {
        "order_id": order.id,
        "product_id": mug.id,
        "customer_id": order.customer_id,
        "alert_id": Alert.objects.get(business=shop).id,
        "finding_id": Discrepancy.objects.create(
            business=shop, invariant="I6", subject=str(order.id), found="Odd", found_at=now, seen_at=now
        ).id,
        "run_id": BulkRun.objects.create(
            business=shop, action=BulkRun.Action.START_PROCESSING, actor=ACTOR, created_at=now
        ).id,
        "member_id": Membership.objects.create(business=shop, user=person, role=Role.VIEWER).id,
        "source_id": source.id,
        "endpoint_id": endpoint.id,
        "event_id": order.events.latest("version").id,
        "notice_id": notice.id,
        "key_id": make_api_key(business=shop, name="Till", scope=ApiKey.Scope.READ)[0].id,
    }


def pages() -> Iterator[tuple[str, list[str]]]:
    """Our pages and buttons: of each its name, and what its address tells."""
    for pattern in urls.urlpatterns:
        if pattern.name:
            yield pattern.name, list(pattern.pattern.converters)


def lists() -> Iterator[type[Model]]:
    for model, page in admin.site._registry.items():
        if isinstance(page, ShopAdmin):
            yield model


def address_of(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def may(role: str | None, right: Any) -> bool:
    return right is EVERYONE or (role is not None and right in OF_ROLE[role])


def disagreeing(answers: Iterable[tuple[str, int, bool]]) -> list[tuple[str, int]]:
    """The answers that are a fault, or that refuse what is allowed, or the other way round."""
    return [(what, status) for what, status, allowed in answers if status >= 500 or (status != 403) != allowed]


# --- Within a business -------------------------------------------------------------------------


def test_every_page_has_its_row() -> None:
    assert {name for name, _ in pages()} == set(STAFF)
    assert set(lists()) == set(LISTS)


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
def test_pages_and_buttons_are_for_those_who_have_the_right(
    shop: Business, things: dict[str, Any], role: str
) -> None:
    def answers() -> Iterator[tuple[str, int, bool]]:
        for name, ids in pages():
            address = reverse(f"staff:{name}", kwargs={key: things[key] for key in ids})
            for method, right in STAFF[name].items():
                status = signed_in(shop, role).generic(method, address).status_code
                yield f"{method} {address}", status, may(role, right)

    assert disagreeing(answers()) == []


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
def test_lists_are_for_those_who_have_the_right(shop: Business, things: dict[str, Any], role: str) -> None:
    client = signed_in(shop, role)

    def answers() -> Iterator[tuple[str, int, bool]]:
        for model, (look, change, add) in LISTS.items():
            one = quote(one_of(model, shop).pk)
            looks = may(role, look)
            for page, args in (("changelist", ()), ("change", (one,))):
                address = address_of(model, page, *args)
                yield address, client.get(address).status_code, looks
            yield from (
                (f"POST {address}", client.post(address).status_code, allowed)
                for address, allowed in (
                    (address_of(model, "change", one), change != NOBODY and may(role, change)),
                    (address_of(model, "add"), add != NOBODY and may(role, add)),
                    (address_of(model, "delete", one), False),
                )
                if model not in ON_PAGES_OF_OURS
            )

    assert disagreeing(answers()) == []


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
def test_books_are_taken_out_by_those_who_have_the_right(
    shop: Business, things: dict[str, Any], role: str
) -> None:
    client = signed_in(shop, role)

    def answers() -> Iterator[tuple[str, int, bool]]:
        for model in lists():
            look, *_ = LISTS[model]
            for file in getattr(admin.site._registry[model], "exports", ()):
                address = address_of(model, "export", file)
                yield address, client.get(address).status_code, may(role, look) and may(role, Right.EXPORTS)
        for name, right in IMPORTS.items():
            for page in ("import", "template"):
                address = reverse(f"admin:{name}_{page}")
                yield address, client.get(address).status_code, may(role, right)

    assert disagreeing(answers()) == []


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
def test_pages_are_taken_out_by_those_who_have_the_right(
    shop: Business, things: dict[str, Any], role: str
) -> None:
    client = signed_in(shop, role)
    offered, taken_out, refused = set(), set(), set()
    for name, ids in pages():
        address = reverse(f"staff:{name}", kwargs={key: things[key] for key in ids})
        if "GET" not in STAFF[name] or not may(role, STAFF[name]["GET"]):
            continue
        if b"format=csv" in client.get(address).content:
            offered.add(name)
        answer = client.get(address, {"format": "csv"})
        if answer.status_code == 403:
            refused.add(name)
        elif answer.headers["Content-Type"].startswith("text/csv"):
            taken_out.add(name)
    allowed = FILES if may(role, Right.EXPORTS) else set()
    assert (offered, taken_out, refused) == (allowed, allowed, FILES - allowed)


@pytest.mark.parametrize("role", Role.values)
def test_chosen_orders_are_for_those_who_have_the_right(shop: Business, things: dict[str, Any], role: str) -> None:
    page = signed_in(shop, role).get(address_of(Order, "changelist"))
    offered = {name for name, _ in page.context["action_form"].fields["action"].choices if name}
    assert offered == {name for name, right in ACTIONS.items() if may(role, right)}


# --- Between businesses ------------------------------------------------------------------------


def one_of(model: type[Model], shop: Business) -> Model:
    """Something of a shop that stands in a list; `things_of` makes one of each."""
    return model._default_manager.filter(business=shop).first() or pytest.fail(f"make one of {model}")


@pytest.mark.slow
def test_nothing_of_another_business_is_there(shop: Business) -> None:
    """On no page of ours, and on no page of the admin, whoever asks."""
    others = BusinessFactory()
    theirs = things_of(others)
    client = signed_in(shop)
    found = []
    for name, ids in pages():
        for method in STAFF[name]:
            if ids:
                address = reverse(f"staff:{name}", kwargs={key: theirs[key] for key in ids})
                response = client.generic(method, address, b"", "application/x-www-form-urlencoded")
                # A button says that it isn't there on the page where it was pressed.
                if response.status_code != 404 and not (method == "POST" and says_no(client, response)):
                    found.append((method, address, response.status_code))
    for model in lists():
        key = quote(one_of(model, others).pk)
        for page in ("change", "history"):
            response = client.get(address_of(model, page, key))
            if response.status_code != 404:
                found.append(("GET", address_of(model, page, key), response.status_code))
        for page in ("change", "delete"):  # 403: nobody may, of whatever business it is
            response = client.post(address_of(model, page, key), {"post": "yes"})
            if response.status_code not in {403, 404}:
                found.append(("POST", address_of(model, page, key), response.status_code))
        listed = client.get(address_of(model, "changelist"))
        assert [row.pk for row in listed.context["cl"].result_list if row.business_id != shop.id] == []
    assert found == []


def says_no(client: Client, response: Any) -> bool:
    page = client.get(response.headers["Location"]) if response.status_code == 302 else response
    said = [message.level_tag for message in page.context["messages"]] if page.context else []
    return said == ["error"]


# --- Of no business ----------------------------------------------------------------------------


def platform_pages() -> Iterator[tuple[type[Model], str]]:
    for model, page in admin.site._registry.items():
        if not isinstance(page, ShopAdmin):
            for name in ("changelist", "add"):
                yield model, address_of(model, name)


def test_what_is_of_no_business_is_for_platform_staff_alone(shop: Business) -> None:
    """Even for who was given the permission by Django's own means."""
    owner = signed_in(shop)
    user = User.objects.latest("id")
    user.user_permissions.set(Permission.objects.all())
    for model, address in platform_pages():
        assert owner.get(address).status_code == 403, address
        one = model._default_manager.first()
        if one is not None:
            assert owner.get(address_of(model, "change", quote(one.pk))).status_code == 403


@pytest.mark.slow
def test_platform_staff_see_all(shop: Business, things: dict[str, Any]) -> None:
    others = BusinessFactory()
    client = signed_in(shop, None, is_superuser=True)
    refused = []
    for model, address in platform_pages():
        may_add = admin.site._registry[model].has_add_permission(client.get("/admin/").wsgi_request)
        expected = 200 if may_add or address.endswith(f"{model._meta.model_name}/") else 403
        if client.get(address).status_code != expected:
            refused.append(address)
    assert refused == []
    for business in (shop, others):
        page = client.get("/staff/people/", {"business": business.slug})
        assert page.context["business"] == business


def test_business_is_chosen_in_the_admin_too(shop: Business) -> None:
    others = BusinessFactory()
    theirs = things_of(others)
    client = signed_in(shop)
    address = address_of(Customer, "changelist")
    assert client.get(address, {"business": others.slug}).status_code == 404
    Membership.objects.create(business=others, user=User.objects.latest("id"), role=Role.VIEWER)
    assert client.get(address, {"business": others.slug}).headers["Location"] == address
    listed = client.get(address)
    assert [row.pk for row in listed.context["cl"].result_list if row.business_id != others.id] == []
    assert theirs["customer_id"] in [row.pk for row in listed.context["cl"].result_list]
    assert others.name in listed.content.decode()
    assert f"/admin/?business={shop.slug}" in listed.content.decode()


@pytest.mark.slow
def test_strangers_are_asked_to_sign_in() -> None:
    for name, keys in pages():
        for method in STAFF[name]:
            address = reverse(f"staff:{name}", kwargs=dict.fromkeys(keys, UUID(int=0)))
            response = Client().generic(method, address)
            assert response.headers["Location"].startswith("/admin/login/"), name
    for model in admin.site._registry:
        response = Client().get(address_of(model, "changelist"))
        assert response.headers["Location"].startswith("/admin/login/"), model
