"""A customer's page, the list of customers, and the page that merges two: who sees what, and who may change it."""

from datetime import timedelta

import pytest
from django.test import Client

from catalog.models import AuditEntry, Business, Membership
from customers.errors import IdentityTaken, InvalidPhone
from customers.models import Customer
from customers.services import Buyer, edit_customer, explain_score, rescore
from factories import ACTOR, BusinessFactory, pay, place, product
from orders.models import Order
from orders.tests.staff import read, rows, signed_in
from orders_project.clock import database_now
from orders_project.errors import InvalidRequest, PreconditionFailed

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

Role = Membership.Role

ADA = Buyer(name="Ada Obi", phone="+447700900123", email="ada@example.com", external_id="c-1")
BEN = Buyer(name="Ben Tal", phone="+447700900124", email="ben@example.com")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def ada(shop: Business) -> Customer:
    product(shop, stock=100)
    return pay(place(shop, ("MUG-01", 2), buyer=ADA)).customer


@pytest.fixture
def ben(shop: Business, ada: Customer) -> Customer:
    return place(shop, ("MUG-01", 3), buyer=BEN).customer


@pytest.fixture
def owner(shop: Business) -> Client:
    return signed_in(shop)


def page(customer: Customer, more: str = "") -> str:
    return f"/staff/customers/{customer.id}/{more}"


def on_file(customer: Customer, **typed: str) -> dict[str, str]:
    """What the form of a customer's page sends."""
    told = {field: getattr(customer, field) or "" for field in Customer.ON_FILE}
    return {**told, "seen": customer.edition, **typed}


def edit(customer: Customer, **fields: str) -> Customer:
    return edit_customer(
        business=customer.business, customer_id=customer.id, edit=fields, actor=ACTOR, now=database_now()
    )


# --- The page ----------------------------------------------------------------------------------


def test_page_shows_what_they_are_worth_and_ordered(owner: Client, shop: Business, ada: Customer) -> None:
    unpaid = place(shop, ("MUG-01", 3), buyer=ADA)
    edit(ada, note="Rings first.\nLikes blue.")
    shown = read(owner.get(page(ada)))
    for told in ("Ada Obi", "£19.80", "+447700900123", "ada@example.com", "c-1", "Rings first.\nLikes blue."):
        assert told in shown
    for order in Order.objects.filter(customer=ada):
        assert f"/staff/orders/{order.id}/" in shown
    assert unpaid.number in shown
    assert "test changed" not in shown
    assert "Note: – → Rings first." in shown


@pytest.mark.slow
def test_page_turns_through_many_orders(owner: Client, shop: Business, ada: Customer) -> None:
    now = database_now()
    for n in range(60):
        place(shop, ("MUG-01", 1), buyer=ADA, draft=True, external_id=f"x-{n}", now=now - timedelta(minutes=n))
    numbers = set(Order.objects.filter(customer=ada).values_list("number", flat=True))
    first = read(owner.get(page(ada)))
    before = Order.objects.filter(customer=ada).order_by("-created_at", "-id")[49]
    second = read(owner.get(page(ada), {"before": f"{before.created_at.isoformat()} {before.id}"}))
    assert {number for number in numbers if number in first} | {n for n in numbers if n in second} == numbers
    assert sum(number in first for number in numbers) == 50
    assert owner.get(page(ada), {"before": "yesterday"}).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("days", [0, 1, 45, 90, 400])
@pytest.mark.parametrize("quantity", [0, 1, 7, 40])
def test_parts_of_the_score_add_up_to_it(shop: Business, now, quantity: int, days: int) -> None:
    product(shop, stock=100)
    order = place(shop, ("MUG-01", max(1, quantity)), buyer=ADA)
    if quantity:
        pay(order, now=now)
    then = now + timedelta(days=days)
    rescore(customer_ids=[order.customer_id], now=then)
    customer = Customer.objects.get(id=order.customer_id)
    parts = explain_score(customer=customer, now=then)
    assert sum(part.points for part in parts) == customer.engagement_score
    assert all(0 <= part.points <= part.most for part in parts)
    assert sum(part.most for part in parts) == 100
    rescore(customer_ids=[order.customer_id], now=now)


def test_score_is_explained_in_words(owner: Client, shop: Business, ada: Customer) -> None:
    shown = read(owner.get(page(ada)))
    for told in (
        "Last paid on ",
        "1 order paid and kept",
        "£19.80 spent and kept",
        "40 of 40",
        "6 of 30",
        "2 of 30",
    ):
        assert told in shown
    assert f"Engagement {ada.engagement_score} of 100" in shown


def test_names_and_notes_are_never_markup(owner: Client, shop: Business, ada: Customer, ben: Customer) -> None:
    edit(ada, name=SCRIPT, note=SCRIPT, external_id=SCRIPT)
    edit(ben, name=f"{SCRIPT} too", email="ada@example.com")
    for address in (
        page(ada),
        page(ada, "merge/"),
        page(ada, f"merge/?with={ben.id}"),
        "/admin/customers/customer/",
        "/admin/customers/customer/?q=script",
    ):
        shown = read(owner.get(address))
        assert "<script>alert" not in shown, address
        assert "&lt;script&gt;alert(1)" in shown, address


# --- Who sees, and who may change ---------------------------------------------------------------


@pytest.mark.parametrize("role", Role.values)
def test_page_is_shown_to_everyone_who_works_there(shop: Business, ada: Customer, role: str) -> None:
    client = signed_in(shop, role)
    may = role in (Role.OWNER, Role.MANAGER)
    shown = read(client.get(page(ada)))
    assert ("Save the changes" in shown, "Merge with another" in shown) == (may, may)
    assert client.post(page(ada), on_file(ada, name="Ada")).status_code == (302 if may else 403)
    assert client.get(page(ada, "merge/")).status_code == (200 if may else 403)
    assert "Ada" in read(client.get("/admin/customers/customer/"))
    assert client.get("/admin/customers/customer/export/customers/").status_code == (200 if may else 403)


def test_customer_of_another_business_is_missing(shop: Business, ada: Customer) -> None:
    foreign = BusinessFactory()
    product(foreign)
    theirs = place(foreign, ("MUG-01", 1), buyer=ADA).customer
    client = signed_in(foreign)
    for address in (page(ada), page(ada, "merge/"), page(theirs, f"merge/?with={ada.id}")):
        assert "Ada" not in client.get(address).content.decode() or address == page(
            theirs, f"merge/?with={ada.id}"
        )
    for address in (page(ada), page(ada, "merge/"), f"/admin/customers/customer/{ada.id}/change/"):
        assert client.get(address).status_code == 404
    assert client.post(page(ada), on_file(ada, name="Eve")).status_code == 404
    client.post(page(theirs, f"merge/?with={ada.id}"), seen(theirs, ada))
    client.post(page(ada, f"merge/?with={theirs.id}"), seen(ada, theirs))
    assert set(Customer.objects.filter(phone=ADA.phone)) >= {ada, theirs}
    assert rows(client.get("/admin/customers/customer/export/customers/"))[0]["total_orders"] == "0"


def test_page_of_no_customer_is_missing(owner: Client, ada: Customer) -> None:
    assert owner.get("/staff/customers/01939f2e-6b7c-7cc3-98c4-dc0c0c07398f/").status_code == 404
    assert owner.get(page(ada, "merge/?with=zz")).status_code == 404


def test_admin_leads_to_the_page(owner: Client, ada: Customer) -> None:
    response = owner.get(f"/admin/customers/customer/{ada.id}/change/")
    assert (response.status_code, response.headers["Location"]) == (302, page(ada))


# --- Putting right -----------------------------------------------------------------------------


def test_edit_writes_what_was_typed_and_who_did_it(owner: Client, shop: Business, ada: Customer) -> None:
    typed = {
        "name": " Ada  Obi-King ",
        "phone": "07700 900199",
        "email": "Ada@Example.org",
        "external_id": "",
        "note": "a\r\nb",
    }
    assert owner.post(page(ada), on_file(ada, **typed)).status_code == 302
    edited = Customer.objects.get(id=ada.id)
    assert (edited.name, edited.phone, edited.email) == ("Ada  Obi-King", "+447700900199", "ada@example.org")
    assert (edited.external_id, edited.note, edited.total_orders) == (None, "a\nb", 1)
    entry = AuditEntry.objects.get(business=shop, subject=str(ada.id))
    assert (entry.action, entry.kind) == ("changed", "customer")
    assert entry.changes["phone"] == ["+447700900123", "+447700900199"]
    assert entry.changes["external_id"] == ["c-1", ""]
    owner.post(page(edited), on_file(edited))  # nothing changed, so nothing is told
    assert AuditEntry.objects.filter(business=shop, subject=str(ada.id)).count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": ""}, InvalidRequest),
        ({"name": "x" * 201}, InvalidRequest),
        ({"name": "Ada\u202e"}, InvalidRequest),
        ({"phone": "12"}, InvalidPhone),
        ({"phone": "0800 FLOWERS"}, InvalidPhone),
        ({"email": "ada at home"}, InvalidRequest),
        ({"external_id": "x" * 121}, InvalidRequest),
        ({"note": "x" * 5001}, InvalidRequest),
        ({"phone": "07700 900124"}, IdentityTaken),
    ],
)
def test_edit_is_refused_and_keeps_what_was_typed(
    owner: Client, ada: Customer, ben: Customer, typed: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        edit(ada, **typed)
    shown = read(owner.post(page(ada), on_file(ada, **{"note": "still here", **typed})))
    assert 'class="errorlist"' in shown
    assert all(value in shown for value in typed.values())
    assert ("still here" in shown) == ("note" not in typed)
    unchanged = Customer.objects.get(id=ada.id)
    assert unchanged.edition == ada.edition


def test_edit_to_the_phone_of_another_offers_to_merge(owner: Client, ada: Customer, ben: Customer) -> None:
    shown = read(owner.post(page(ada), on_file(ada, phone="07700 900124")))
    assert "Ben Tal has the phone +447700900124" in shown
    assert f"merge/?business={ada.business.slug}&amp;with={ben.id}" in shown


def test_edit_of_what_somebody_changed_meanwhile_says_who(owner: Client, ada: Customer) -> None:
    sent = on_file(ada, name="Ada O.")
    edit(ada, phone="+447700900777")
    with pytest.raises(PreconditionFailed):
        edit_customer(
            business=ada.business,
            customer_id=ada.id,
            edit={"name": "Ada O."},
            seen=ada.edition,
            actor=ACTOR,
            now=database_now(),
        )
    shown = read(owner.post(page(ada), sent))
    assert "test changed phone while you looked at it" in shown
    assert 'value="Ada O."' in shown
    assert "+447700900777" in shown
    assert Customer.objects.get(id=ada.id).name == "Ada Obi"


# --- Merging -----------------------------------------------------------------------------------


def seen(kept: Customer, merged: Customer) -> dict[str, str]:
    return {"seen_kept": kept.edition, "seen_merged": merged.edition}


def test_merge_shows_both_and_what_is_lost(owner: Client, ada: Customer, ben: Customer) -> None:
    shown = read(owner.get(page(ada, f"merge/?with={ben.id}")))
    assert "1 order of Ben Tal will be Ada Obi’s" in shown
    assert "Not kept: Ben Tal, +447700900124, ben@example.com." in shown
    assert Customer.objects.filter(business=ada.business).count() == 2


def test_merge_moves_the_orders_and_leads_to_the_kept_one(owner: Client, ada: Customer, ben: Customer) -> None:
    response = owner.post(page(ada, f"merge/?with={ben.id}"), seen(ada, ben), follow=True)
    shown = read(response)
    assert response.redirect_chain[0][0].startswith(page(ada))
    assert "Ben Tal is merged into Ada Obi." in shown
    assert Order.objects.filter(customer=ada).count() == 2
    order = Order.objects.filter(customer=ada).latest("created_at")
    assert "Its customer Ben Tal was merged into Ada Obi" in read(owner.get(f"/staff/orders/{order.id}/"))
    # Who has the old address finds them, too.
    followed = owner.get(page(ben), follow=True)
    assert followed.redirect_chain[0][0].startswith(page(ada))
    assert "Ben Tal was merged into another customer" in read(followed)


def test_merge_of_who_was_changed_or_merged_meanwhile_is_refused(
    owner: Client, shop: Business, ada: Customer, ben: Customer
) -> None:
    sent = seen(ada, ben)
    edit(ben, note="Pays late.")
    shown = read(owner.post(page(ada, f"merge/?with={ben.id}"), sent))
    assert "One of them was changed while you looked" in shown
    assert "Pays late." in shown
    third = place(shop, ("MUG-01", 1), buyer=Buyer(name="Cy")).customer
    ben.refresh_from_db()
    assert owner.post(page(third, f"merge/?with={ben.id}"), seen(third, ben)).status_code == 302
    shown = read(owner.post(page(ada, f"merge/?with={ben.id}"), seen(ada, ben)))
    assert "Ben Tal was merged into another customer" in shown
    assert Order.objects.filter(customer=ada).count() == 1


def test_merge_offers_who_may_be_the_same(owner: Client, shop: Business, ada: Customer, ben: Customer) -> None:
    edit(ben, email="ada@example.com")
    namesake = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada Obi", phone="+447700900130")).customer
    assert "Ben Tal has the same email" in read(owner.get(page(ada)))
    offered = read(owner.get(page(ada, "merge/")))
    assert all(f"with={one.id}" in offered for one in (ben, namesake))
    assert f"with={ada.id}" not in offered
    assert "Nobody else" in read(owner.get(page(namesake, "merge/"), {"q": "nobody\0 like this"}))


# --- The list ----------------------------------------------------------------------------------

LIST = "/admin/customers/customer/"


def listed(client: Client, **query: str) -> set[str]:
    shown = read(client.get(LIST, query))
    return {name for name in ("Ada Obi", "Ben Tal", "Cy") if f">{name}</a>" in shown}


def test_list_is_narrowed_by_what_they_bought_and_by_their_score(
    owner: Client, shop: Business, ada: Customer, ben: Customer
) -> None:
    place(shop, ("MUG-01", 1), buyer=Buyer(name="Cy", email="cy@example.com"))
    assert listed(owner) == {"Ada Obi", "Ben Tal", "Cy"}
    assert listed(owner, who="paid") == {"Ada Obi"}
    assert listed(owner, who="never") == {"Ben Tal", "Cy"}
    assert listed(owner, score="warm") == {"Ada Obi"}
    assert listed(owner, score="cold") == {"Ben Tal", "Cy"}
    assert listed(owner, who="twice") == set()
    edit(ben, email="cy@example.com")
    assert listed(owner, who="twice") == {"Ben Tal", "Cy"}
    for query in ({"who": "dead"}, {"score": "hot"}):
        assert owner.get(LIST, query).status_code == 404


@pytest.mark.parametrize(
    "words", ["obi", "700900123", "07700 900123", "(07700) 900-123", "+44 7700 900123", "ADA@ex"]
)
def test_list_is_searched_however_a_phone_is_written(
    owner: Client, ada: Customer, ben: Customer, words: str
) -> None:
    assert listed(owner, q=words) == {"Ada Obi"}


def test_list_is_ordered(owner: Client, ada: Customer, ben: Customer) -> None:
    for column, first in {
        "3": "Ben Tal",
        "-3": "Ada Obi",
        "4": "Ben Tal",
        "-4": "Ada Obi",
        "6": "Ada Obi",
        "-6": "Ben Tal",
    }.items():
        shown = read(owner.get(LIST, {"o": column}))
        last = ({"Ada Obi", "Ben Tal"} - {first}).pop()
        assert shown.index(f">{first}</a>") < shown.index(f">{last}</a>"), column


def test_list_asks_as_much_for_many_as_for_few(
    owner: Client, shop: Business, ada: Customer, django_assert_num_queries, django_assert_max_num_queries
) -> None:
    owner.get(LIST)
    with django_assert_max_num_queries(12) as few:
        owner.get(LIST)
    for n in range(29):
        place(shop, ("MUG-01", 1), buyer=Buyer(name=f"Buyer {n}"))
    with django_assert_num_queries(len(few)):
        assert read(owner.get(LIST)).count('class="hf-link"') == 30


def test_export_takes_out_what_the_list_shows(owner: Client, ada: Customer, ben: Customer) -> None:
    edit(ben, name="=1+1")
    export = f"{LIST}export/customers/"
    (found,) = rows(owner.get(export, {"who": "paid"}))
    assert (found["name"], found["total_orders"], found["currency"]) == ("Ada Obi", "1", "GBP")
    assert found["phone"] == "'+447700900123"
    assert [row["name"] for row in rows(owner.get(export))] == ["'=1+1", "Ada Obi"]
