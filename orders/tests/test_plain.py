"""What a plain reader takes, the serializers take too, and mean exactly the same by it."""

import copy
import io
import json
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callers import an_order
from customers.services import Buyer
from orders.plain import read_placement, read_placements, read_receipt, read_receipts
from orders.serializers import (
    AddressSerializer,
    BulkPlacementSerializer,
    CustomerOfOrderSerializer,
    LineSerializer,
    PaymentChangeSerializer,
    PlacementSerializer,
    ReceiptSerializer,
)
from orders.services import Line, Receipt
from orders.views.orders import placement
from orders_project.api.parsing import BulkJSONParser, StrictJSONParser
from orders_project.api.reading import read

ID = "0193b2ce-7cb5-7c16-9a2f-7d1f0a0c6a11"
ORDER = UUID(ID)

# --- What clients send: right, and then with something odd or wrong in one place or two ------------


class Twice(dict):
    """A JSON object in which the first name stands twice."""


def text_of(value, *, ascii_only):
    """JSON, with the names of a Twice repeated, and a Decimal as it is."""
    if isinstance(value, dict):
        names = [*value, *([next(iter(value))] if isinstance(value, Twice) and value else [])]
        members = (f"{json.dumps(name)}: {text_of(value[name], ascii_only=ascii_only)}" for name in names)
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(text_of(item, ascii_only=ascii_only) for item in value)}]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=ascii_only)


ODD_LETTERS = 'aé½ßİıſK字😀 \t\n\u00a0\u0000\u001f\u0085\u200b\u200d\u202e\u2028\ufeff\ud800"\\/'
TEXTS = st.one_of(
    st.text(st.sampled_from(ODD_LETTERS) | st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["Zoë", "", " ", " Ada", "Ada ", "\u2003Ada", "\ufeffAda"]),
    st.sampled_from([20, 21, 40, 41, 60, 61, 64, 65, 100, 101, 120, 121, 200, 201, 255, 256, 1001, 2001]).map(
        "😀".__mul__
    ),
)
AMOUNTS = st.one_of(
    st.sampled_from(["19.90", "0", "007", "1.", ".5", "-0", "+1", " 7", "1e5", "1_0", "٣", "9" * 15, "9" * 16]),
    st.sampled_from([0, 5, -1, 10**15 - 1, 10**15, 10**40, -0.0, 1e-7, 1e300]),
    st.sampled_from([Decimal("1E5"), Decimal("1.9990"), Decimal("0.001"), Decimal("0.0000001"), Decimal("2.50")]),
)
PHONES = st.sampled_from(
    [
        *("+44 7700 900 555", "07700 900555", "00447700900555", "+447700900555;ext=5", "tel:+447700900555"),
        *("+1", "+0", "+", "+44 FLOWERS", "0800 FLOWERS", "+٤٤7700900555", "＋447700900555", "+\n44"),
        *("+" + "4" * 40, "4" * 41),
    ]
)
EMAILS = st.sampled_from(
    [
        *("ADA@Example.COM", "ada@", "@", "ada@example", "ada@localhost", "ada@[127.0.0.1]", "a@b.c\n"),
        *("İ@example.com", "a@İstanbul.example", "K@example.com", "ß@example.com", "ada@bücher.example"),
        *("a b@example.com", '"a b"@example.com', f"{'a' * 65}@{'b.' * 93}com", f"ada@{'İ' * 60}.com"),
    ]
)
IDS = st.sampled_from(
    [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", "0193b2ce", "", 5, 2**127, f" {ID}"]
)
QUANTITIES = st.sampled_from([0, -1, 100_000, 100_001, 10**30, Decimal("2.0"), Decimal("1E1"), True, "2", "٢"])
KEYS = st.sampled_from(["k 1", "ключ", "k\u200b", "k\n1", "x" * 255, "x" * 256, "", " k-1"])
ANYTHING = st.recursive(
    TEXTS | AMOUNTS | IDS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ODD = {
    "phone": PHONES,
    "email": EMAILS,
    **dict.fromkeys(("shipping_fee", "discount", "amount"), AMOUNTS),
    **dict.fromkeys(("id", "product", "order"), IDS),
    "quantity": QUANTITIES,
    "idempotency_key": KEYS,
    "channel": st.sampled_from(["Whatsapp", "whatsapp ", "fax", ""]),
    "currency": st.sampled_from(["gbp", "", "POUND", "£", "\u200b"]),
    "shipping_address": st.sampled_from(
        [{}, "1 Mill Lane", "", {"text": ""}, {"line3": "x"}, {"line1": None}, []]
    ),
    "status": st.sampled_from(["paid", "failed", "refunded"]),
    "customer": st.sampled_from([{}, {"phone": "+447700900555"}, {"id": ID, "name": "Ada"}, "Ada", []]),
    "items": st.sampled_from([[], {}, [[]], [{"sku": "MUG-01"}], [{"sku": "MUG-01", "quantity": 1}] * 101]),
}
# The members that each kind of object may have, and a few that it may not.
MEMBERS = {
    "": [*PlacementSerializer().fields, "idempotency_key", "total", "x"],
    "orders": [*BulkPlacementSerializer().fields, "price", "x"],
    "payments": [*ReceiptSerializer().fields, "status", "x"],
    "payment": [*PaymentChangeSerializer().fields, "order", "x"],
    "customer": [*CustomerOfOrderSerializer().fields, "x"],
    "shipping_address": [*AddressSerializer().fields, "id", "x"],
    "items": [*LineSerializer().fields, "price", "name", "x"],
}


@st.composite
def bodies(draw, plain, kind=""):
    """A body as bytes: as it should be, or with a thing or two changed."""
    body = copy.deepcopy(draw(plain))
    for _ in range(draw(st.integers(0, 2))):
        kind, place = draw(st.sampled_from(objects_in(body, kind)))
        name = draw(st.sampled_from(MEMBERS[kind]))
        match draw(st.integers(0, 5)):
            case 0:
                place.pop(name, None)
            case 1:
                place[name] = None
            case 2:
                place[name] = copy.deepcopy(draw(ANYTHING))
            case _:
                place[name] = copy.deepcopy(draw(ODD.get(name, TEXTS)))
    if draw(st.integers(0, 15)) == 15:
        body = Twice(body)
    written = text_of(body, ascii_only=draw(st.booleans()))
    deep = draw(st.sampled_from([0] * 20 + [5, 2000]))
    before = draw(st.sampled_from(["", "", " \n", "\ufeff"]))
    return f"{before}{'[' * deep}{written}{']' * deep}".encode("utf-8", "surrogatepass")


def objects_in(value, kind):
    """Every object in a JSON value, itself included, each with its kind: the name that it stands under."""
    if isinstance(value, list):
        return [found for item in value for found in objects_in(item, kind)]
    if not isinstance(value, dict):
        return []
    below = [found for name in value if name in MEMBERS for found in objects_in(value[name], name)]
    return [(kind, value), *below]


# --- What is plain ------------------------------------------------------------------------------

ADA = {"name": "Ada", "phone": "+447700900555", "email": "Ada@example.com", "external_id": "c-1"}
HOME = {"name": "Ada Obi", "line1": "1 Mill Lane", "line2": "Flat 2", "city": "Leeds", "postal_code": "LS1 4AP"}
PLAIN = {
    "least": an_order(),
    "a known customer": an_order(customer={"id": ID}),
    "all of a customer": an_order(customer=ADA),
    "nulls": an_order(
        customer={"name": "Ada", "phone": None, "email": None, "external_id": None},
        shipping_address=None,
        external_id=None,
    ),
    "a local phone": an_order(customer={"name": "Ada", "phone": "07700 900555"}),
    "no Latin letters": an_order(customer={"name": "Олена Шевченко"}, note="請按門鈴\nمرحبا 👋🏽"),
    "joiners": an_order(customer={"name": "نرگس می\u200cخواهم"}, note="👩\u200d🚀"),
    "an address": an_order(shipping_address=HOME | {"region": "Yorkshire", "country": "GB", "phone": "0113 4960"}),
    "an address as one text": an_order(shipping_address={"text": "1 Mill Lane\nLeeds"}),
    "amounts as text": an_order(shipping_fee="4.50", discount="0"),
    "amounts as numbers": an_order(shipping_fee=4.5, discount=2),
    "two lines": an_order(("MUG-01", 1), ("TEA-01", 100_000)),
    "by id": an_order(items=[{"product": ID, "quantity": 1}]),
    "all of it": an_order(currency="GBP", note="", external_id="w-1", draft=True, channel="website"),
}
PAYMENT = {"provider": "stripe", "reference": "pi_3Qx", "amount": "19.90", "currency": "GBP"}

placements = st.sampled_from(list(PLAIN.values()))
rows = st.builds(
    lambda order, known_by: {**order, **known_by},
    placements,
    st.sampled_from(
        [{"idempotency_key": "k-1"}, {"external_id": "w-1"}, {"external_id": "w-1", "idempotency_key": "k-1"}]
    ),
)
bulk_placements = st.fixed_dictionaries({"orders": st.lists(rows, min_size=1, max_size=2)})
receipts = st.just(PAYMENT)
bulk_receipts = st.fixed_dictionaries({"payments": st.just([{**PAYMENT, "order": ID}] * 2)})

MANY = settings(max_examples=300, deadline=None)


def as_django_reads(body, serializer, make, parser=StrictJSONParser):
    return make(read(parser().parse(io.BytesIO(body)), serializer))


def rows_as_django_reads(body, name, serializer, make):
    value = BulkJSONParser().parse(io.BytesIO(body))
    assert value.keys() == {name}
    return [make(read(row, serializer)) for row in value[name]]


def placement_in_bulk(row):
    return placement(row, idempotency_key=row.get("idempotency_key"))


def receipt_of(row):
    return Receipt(row.get("order", ORDER), row["provider"], row["reference"], row["amount"], row.get("currency"))


def same(ours, theirs):
    """Equal, and of one fingerprint: a repeat is known as one, whichever of the two read it."""
    return ours == theirs and ours.fingerprint == theirs.fingerprint


@pytest.mark.slow
@given(bodies(placements))
@MANY
def test_read_placement_means_what_the_serializers_mean(body):
    ours = read_placement(body, idempotency_key="k-1")
    if ours is not None:
        assert same(
            ours,
            as_django_reads(body, PlacementSerializer, lambda row: placement(row, idempotency_key="k-1")),
        )


@pytest.mark.slow
@given(bodies(bulk_placements))
@MANY
def test_read_placements_means_what_the_serializers_mean(body):
    ours = read_placements(body)
    if ours is not None:
        theirs = rows_as_django_reads(body, "orders", BulkPlacementSerializer, placement_in_bulk)
        assert all(same(*pair) for pair in zip(ours, theirs, strict=True))


@pytest.mark.slow
@given(bodies(receipts, "payment"))
@MANY
def test_read_receipt_means_what_the_serializers_mean(body):
    ours = read_receipt(body, ORDER)
    if ours is not None:
        assert ours == as_django_reads(body, PaymentChangeSerializer, receipt_of)
        assert "status" not in json.loads(body)  # it tells of money that came in


@pytest.mark.slow
@given(bodies(bulk_receipts))
@MANY
def test_read_receipts_means_what_the_serializers_mean(body):
    ours = read_receipts(body)
    if ours is not None:
        assert ours == rows_as_django_reads(body, "payments", ReceiptSerializer, receipt_of)


# --- What is plain must not go the long way ------------------------------------------------------


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "utf-8"])
@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_read_placement_takes_what_the_documentation_shows(body, escaped):
    written = json.dumps(body, ensure_ascii=escaped).encode()
    ours = read_placement(written, idempotency_key="k-1")
    assert ours is not None
    assert same(
        ours, as_django_reads(written, PlacementSerializer, lambda row: placement(row, idempotency_key="k-1"))
    )


def test_read_placement_says_what_was_asked_for():
    asked = read_placement(
        json.dumps(an_order(customer=ADA, shipping_fee=4.5, shipping_address=HOME, note="été")).encode(),
        idempotency_key="k-1",
    )
    assert asked.buyer == Buyer(name="Ada", phone="+447700900555", email="ada@example.com", external_id="c-1")
    assert asked.lines == (Line("MUG-01", 1),)
    assert (asked.shipping_fee, asked.discount) == (Decimal("4.5"), Decimal(0))
    assert (asked.shipping_address, asked.note, asked.idempotency_key) == (HOME, "été", "k-1")


@pytest.mark.parametrize("told", [{"amount": "19.90"}, {"amount": 19.9}, {"amount": 20, "currency": "GBP"}])
def test_read_receipt_takes_what_the_documentation_shows(told):
    told = {"provider": "stripe", "reference": "pi_3Qx", **told}
    assert read_receipt(json.dumps(told).encode(), ORDER) is not None
    assert read_receipts(json.dumps({"payments": [{**told, "order": ID}] * 1000}).encode()) is not None


@pytest.mark.parametrize("known_by", [{"idempotency_key": "k-1"}, {"external_id": "w-1"}])
def test_read_placements_takes_what_the_documentation_shows(known_by):
    assert len(read_placements(json.dumps({"orders": [an_order(**known_by)] * 1000}).encode())) == 1000


@pytest.mark.parametrize(
    "row",
    [
        an_order(customer={"id": ID, "phone": None}, external_id="w-1"),
        an_order(customer={"name": "Ada", "email": "İ@example.com"}, external_id="w-1"),  # in small letters: none
        an_order(external_id="w-1", idempotency_key="ключ"),
    ],
    ids=["an id and more", "an email", "a key"],
)
def test_read_placements_leaves_alone_what_is_to_be_refused(row):
    """Each was taken once."""
    assert read_placements(json.dumps({"orders": [row]}).encode()) is None
