"""Customers from a file."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import AuditEntry, Business
from customers.errors import IdentityTaken
from customers.models import Customer
from customers.services import Buyer, add_customers, edit_customers
from factories import ACTOR, BusinessFactory, pay, place, product
from orders.tests.staff import read, signed_in

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

PAGE = "/admin/customers/customer/import/"


def csv(*lines: str) -> bytes:
    return "\n".join(["name,phone,email,external_id,note", *lines]).encode()


def look(client: Client, content: bytes) -> str:
    """Send a file, and read what it would do."""
    return read(client.post(PAGE, {"upload": SimpleUploadedFile("customers.csv", content)}))


def bring_in(client: Client, content: bytes) -> str:
    """Send a file, and press the button of the page that says what it would do."""
    kept = look(client, content).split('name="file" value="')[1].split('"')[0]
    return read(client.post(PAGE, {"file": kept}, follow=True))


def ada(shop: Business, **more: Any) -> Customer:
    told = {"name": "Ada", "phone": "+447700900123", "email": "ada@example.com", "external_id": "c-1", **more}
    order = place(shop, ("MUG-01", 1), buyer=Buyer(**told))
    return Customer.objects.get(pk=order.customer_id)


@pytest.fixture
def mug(shop):
    return product(shop, stock=100)


def test_customers_are_added_and_changed(shop, mug):
    pay(place(shop, ("MUG-01", 2), buyer=Buyer(name="Ada", phone="+447700900123")))
    client = signed_in(shop)
    done = bring_in(
        client,
        csv("Ada Lovelace,07700 900123,ADA@Example.com,,<b>mornings", "Grace,,grace@example.com,,", "Alan,,,c-9,"),
    )
    assert "2 new customers, 1 changed customer, 0 as before." in done
    known = Customer.objects.get(business=shop, phone="+447700900123")
    assert (known.name, known.email, known.note) == ("Ada Lovelace", "ada@example.com", "<b>mornings")
    assert known.total_orders == 1
    assert Customer.objects.get(business=shop, email="grace@example.com").phone is None
    told = AuditEntry.objects.filter(business=shop, kind="customer").order_by("title")
    assert [(one.action, one.title) for one in told] == [
        ("changed", "Ada Lovelace"),
        ("added", "Alan"),
        ("added", "Grace"),
    ]


def test_file_once_more_changes_nothing(shop):
    client = signed_in(shop)
    file = csv("Ada,07700 900123,ada@example.com,c-1,note")
    bring_in(client, file)
    assert "Everything is on file as it stands here" in look(client, file)
    exported = b"".join(client.get("/admin/customers/customer/export/customers/").streaming_content)
    assert b"'+447700900123" in exported
    assert "Everything is on file as it stands here" in look(client, exported)


def test_empty_cell_leaves_what_is_on_file(shop, mug):
    customer = ada(shop)
    look(signed_in(shop), csv(",,,c-1,"))
    bring_in(signed_in(shop), csv(",,,c-1,Pays late"))
    customer.refresh_from_db()
    assert (customer.name, customer.phone, customer.email) == ("Ada", "+447700900123", "ada@example.com")
    assert customer.note == "Pays late"


def test_phone_is_changed_by_who_is_known_more_surely(shop, mug):
    customer = ada(shop)
    bring_in(signed_in(shop), csv("Ada,+447700900999,,c-1,"))
    customer.refresh_from_db()
    assert customer.phone == "+447700900999"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (",07700900555,,,", "A new customer needs a name."),
        ("Ada,,,,", "A phone, an email or an external id is needed"),
        ("Ada,call me,,,", "“call me” is not a telephone number."),
        ("Ada,,no email,,", "Enter a valid email address."),
        (f"{'x' * 201},,,c-2,", "at most 200 characters"),
        ("Grace,,ada@example.com,c-7,", "Ada, who has this email, has another external id on file."),
        ("Grace,+447700900123,,c-7,", "Ada, who has this phone, has another external id on file."),
        ("Ada,+447700900777,ada@example.com,,", "Ada, who has this email, has another phone on file."),
        ("Grace,+447700900123,,c-2,", "Ada, who has this phone, has another external id on file."),
        ("Alan,+447700900123,,c-3,", "Ada has this phone. If they are the same person, merge the two first."),
        ("Two,,twins@example.com,,", "2 customers have this email: say the phone or the external id."),
        ("Again,,,c-8,", "This customer stands in the file already."),
    ],
)
def test_file_with_a_bad_row_is_refused_as_a_whole(shop, mug, now, line, says):
    ada(shop)
    ada(shop, name="Alan", phone=None, email="alan@example.com", external_id="c-3")
    for phone in ("+447700900001", "+447700900002"):
        Customer.objects.create(business=shop, name="Twin", phone=phone, email="twins@example.com", created_at=now)
    before = Customer.objects.filter(business=shop).count()
    page = look(signed_in(shop), csv("New,,,c-8,", line))
    assert "1 row can’t be taken" in page
    assert says in page
    assert 'name="file"' not in page
    assert Customer.objects.filter(business=shop).count() == before


@pytest.mark.parametrize(
    "lines",
    [
        ("Ada,07700 900500,,c-1,", "Alan,+447700900500,,c-3,"),
        ("Ada,+447700900123,,c-9,", "Alan,,alan@example.com,c-9,"),
    ],
)
def test_file_gives_what_identifies_one_customer_to_no_other(shop, mug, lines):
    """A look tells of it, which asks the database to change nothing."""
    ada(shop, external_id="c-1" if "c-1" in lines[0] else None)
    ada(shop, name="Alan", phone=None, email="alan@example.com", external_id="c-3" if "c-3" in lines[1] else None)
    page = look(signed_in(shop), csv(*lines))
    assert "1 row can’t be taken" in page
    assert "This customer stands in the file already." in page


def test_look_writes_nothing_and_waits_for_nobody(shop, mug):
    """Red if a look at a file does what it says and takes it back, with all the locks that it takes."""
    ada(shop)
    client = signed_in(shop)
    with CaptureQueriesContext(connection) as asked:
        assert "1 new, 1 changed" in look(client, csv("Ada,,,c-1,Pays late", "Grace,,,c-2,"))
    found = [one["sql"] for one in asked if "customers_customer" in one["sql"] or "auditentry" in one["sql"]]
    assert [sql for sql in found if not sql.startswith("SELECT") or " FOR " in sql] == []


@pytest.mark.slow
def test_file_asks_as_much_for_thirty_changed_customers_as_for_one(shop):
    client = signed_in(shop)

    def asked(rows: int, note: str) -> int:
        file = csv(*(f"Customer {n},,,c-{n},{note}" for n in range(rows)))
        with CaptureQueriesContext(connection) as queries:
            assert f"{rows} changed customer" in bring_in(client, file) or note == "first"
        return len(queries)

    asked(30, "first")
    assert asked(1, "again") == asked(30, "at last")


def test_customer_who_comes_meanwhile_is_told_of(shop, mug, now):
    """Between the look at who is on file and the writing, as an order may put them there."""
    there = ada(shop)
    new = Customer(name="Grace", phone=there.phone)
    with pytest.raises(IdentityTaken, match="Ada has the phone"):
        add_customers(business=shop, new=[new], actor=ACTOR, now=now)
    other = ada(shop, name="Alan", phone="+447700900555", email="alan@example.com", external_id="c-3")
    edits = {other.id: {"external_id": "c-1", "name": "Alan Two"}, there.id: {"note": "first"}}
    with pytest.raises(IdentityTaken, match="Ada has the external id c-1"):
        edit_customers(business=shop, edits=edits, actor=ACTOR, now=now)
    there.refresh_from_db()
    assert there.note == ""


def test_customers_of_another_business_are_theirs(shop):
    other = BusinessFactory()
    product(other)
    foreign = ada(other)
    bring_in(signed_in(shop), csv("Mine,+447700900123,,c-1,"))
    foreign.refresh_from_db()
    assert foreign.name == "Ada"
    assert Customer.objects.get(business=shop).name == "Mine"


@pytest.mark.slow
def test_files_are_brought_in_by_owners_and_managers(shop):
    for role, status in {"owner": 200, "manager": 200, "packer": 403, "viewer": 403}.items():
        client = signed_in(shop, role)
        assert client.get(PAGE).status_code == status
        assert client.get(f"{PAGE}template/").status_code == status
        assert (PAGE in read(client.get("/admin/customers/customer/"))) == (status == 200)
