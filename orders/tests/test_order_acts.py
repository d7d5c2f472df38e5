"""The buttons of an order's page: what they do, and what they say when somebody else was faster."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from catalog.models import Business
from factories import on_shelf, order_in, pay, place, product, verb
from orders.lifecycle import Status
from orders.models import Order, Payment
from orders.services import Edit, Line
from orders.tests.staff import read, signed_in
from orders.tests.test_order_page import words_of


def press(client: Client, order: Order, act: str, **sent: Any) -> str:
    """Send a form of the page as it stands; returns what is said of it."""
    sent.setdefault("version", Order.objects.get(id=order.id).version)
    response = client.post(f"/staff/orders/{order.id}/{act}/", sent, follow=True)
    said = [str(message) for message in response.context["messages"]]
    refused = response.context["refused"]
    assert len(said) + (refused is not None) == 1
    assert response.redirect_chain == (
        [] if refused else [(f"/staff/orders/{order.id}/?business={order.business.slug}", 302)]
    )
    return refused.why if refused else said[0]


PAID = {"provider": "bank", "reference": "TX-1", "amount": "19.80"}
SENT = {"carrier": "DHL", "tracking_number": "JD01", "tracking_url": "https://dhl.example/JD01"}


# --- What they do ------------------------------------------------------------------------------


@pytest.mark.usefixtures("db")
def test_order_goes_all_the_way_by_hand(shop: Business, all_is_well: None) -> None:
    product(shop)
    order = order_in(shop, Status.DRAFT)
    client = signed_in(shop)
    number = order.number
    assert press(client, order, "submit") == f"{number} is submitted and holds its goods."
    assert press(client, order, "extend", minutes="20", reason="asked") == f"{number} has more time to be paid."
    assert press(client, order, "pay", **PAID) == f"{number} is paid."
    assert press(client, order, "process") == f"{number} is yours to pack."
    assert press(client, order, "ship", **SENT) == f"{number} is on its way."
    right = {**SENT, "tracking_number": "JD02", "tracking_url": ""}
    assert press(client, order, "correct", **right) == f"The shipping details of {number} are set right."
    assert press(client, order, "deliver") == f"{number} is delivered."
    assert press(client, order, "note", text="They love it") == f"Your note stands with {number}."
    refund = {"provider": "bank", "reference": "BACK-1", "amount": "5.00"}
    assert press(client, order, "refund", **refund) == f"The refund of {number} is recorded."
    order.refresh_from_db()
    assert (order.status, order.payment_status) == ("delivered", "partially_refunded")
    parcel = order.shipments.get()
    assert (parcel.carrier, parcel.tracking_number, parcel.tracking_url) == ("DHL", "JD02", "")
    kinds = list(order.events.order_by("version").values_list("kind", flat=True))
    assert kinds == [
        *("created", "submitted", "hold_extended", "paid", "processing", "shipped", "shipment_changed"),
        *("delivered", "noted", "refunded"),
    ]
    by_hand = order.events.exclude(kind="created").values_list("actor", flat=True)
    assert all(actor.startswith("person:user-") for actor in by_hand)
    assert on_shelf(shop) == (8, 0)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.DRAFT, "It holds nothing, so no stock is moved."),
        (Status.PENDING, "Releases 2 × MUG-01."),
        (Status.PAID, "Puts 2 × MUG-01 back on the shelf, and owes the customer a refund of £19.80."),
    ],
)
def test_cancel_says_what_it_does_and_does_it(shop: Business, status: str, said: str, all_is_well: None) -> None:
    product(shop)
    order = order_in(shop, status)
    client = signed_in(shop)
    assert said in words_of(read(client.get(f"/staff/orders/{order.id}/")))
    answer = press(client, order, "cancel", reason="they left")
    assert answer.startswith(f"{order.number} is cancelled.")
    assert ("Pay its money back" in answer) == (status == Status.PAID)
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == ("cancelled", "they left")
    assert on_shelf(shop) == (10, 0)


@pytest.mark.usefixtures("db")
def test_edit_changes_everything_that_can_be(shop: Business, all_is_well: None) -> None:
    product(shop)
    product(shop, "CUP-01", price="4.00")
    product(shop, "PEN-01", price="1.50")
    order = place(shop, ("MUG-01", 2), ("CUP-01", 1))
    sent = {
        "sku": ["MUG-01", "CUP-01", "pen-01", ""],
        "quantity": ["3", "0", "2", ""],
        "shipping_fee": "3.50",
        "discount": "",
        "note": "Two lines\r\nof it",
        "address_name": "Ada",
        "address_line1": "1 High Street",
        "address_city": "",
        "address_text": "",
    }
    assert press(signed_in(shop), order, "edit", **sent) == f"{order.number} is changed."
    order.refresh_from_db()
    items = order.items.order_by("position").values_list("sku", "quantity")
    assert list(items) == [("MUG-01", 3), ("PEN-01", 2)]
    assert (order.total, order.note) == (Decimal("36.20"), "Two lines\nof it")
    assert order.shipping_address == {"name": "Ada", "line1": "1 High Street"}
    assert on_shelf(shop) == (10, 3)
    assert on_shelf(shop, "CUP-01") == (10, 0)


@pytest.mark.usefixtures("db")
def test_edit_as_it_stands_changes_nothing(shop: Business, all_is_well: None) -> None:
    """What the form is filled with is what the order is."""
    product(shop)
    address = {"name": "Ada", "line1": "1 High Street", "text": "behind\nthe church"}
    order = place(shop, ("MUG-01", 2), shipping_fee=Decimal("3.50"), note="Ring", shipping_address=address)
    response = signed_in(shop).get(f"/staff/orders/{order.id}/edit/")
    context = response.context
    assert '<label>Street <input name="address_line1" maxlength="200" value="1 High Street">' in read(response)
    lines = context["lines"]
    sent = {
        **context["forms"]["edit"],
        "sku": [line["sku"] for line in lines],
        "quantity": [line["quantity"] for line in lines],
    }
    press(signed_in(shop), order, "edit", **sent)
    after = Order.objects.get(id=order.id)
    for name in ("total", "shipping_fee", "discount", "note", "shipping_address"):
        assert getattr(after, name) == getattr(order, name)


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("act", "sent", "said"),
    [
        ("pay", {**PAID, "amount": "20 pounds"}, "Amount: An amount such as"),
        ("pay", {**PAID, "amount": "20.00"}, "The order costs 19.80 GBP; this is 0.20 more."),
        ("pay", {**PAID, "provider": " "}, "How: "),
        ("pay", {**PAID, "reference": "x" * 121}, "Reference: "),
        ("pay", {**PAID, "reference": "TX\u202e1"}, "the character U+202E, which nobody can see."),
        ("extend", {"minutes": "0", "reason": "asked"}, "Give a hold between 1 and"),
        ("extend", {"minutes": "5", "reason": ""}, "Say why"),
        ("cancel", {"reason": "payment_timeout"}, "This reason is given by Holdfast itself"),
        ("note", {"text": "x" * 2001}, "A note has 1 to 2,000 characters."),
        ("edit", {"sku": ["MUG-01"], "quantity": ["many"]}, "Line 1: A whole number is needed."),
        ("edit", {"sku": ["MUG-01", "CUP-99"], "quantity": ["1", "1"]}, "Not sold here: CUP-99."),
        ("edit", {"sku": ["MUG-01", ""], "quantity": ["1", "4"]}, "Line 2: "),
        ("edit", {"sku": ["MUG-01"], "quantity": ["0"]}, "Items: An order needs at least one item."),
        ("edit", {"sku": ["MUG-01"], "quantity": ["99"]}, "MUG-01"),
        ("edit", {"sku": ["MUG-01"], "quantity": ["1"], "discount": "99"}, "The discount is more than"),
        ("edit", {"sku": ["MUG-01"], "quantity": ["1"], "shipping_fee": "£3"}, "Shipping: An amount"),
        ("deliver", {}, "The order is pending"),
    ],
)
def test_act_that_is_refused_says_why_and_keeps_what_was_typed(
    shop: Business, act: str, sent: dict[str, Any], said: str, all_is_well: None
) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2))
    client = signed_in(shop)
    response = client.post(f"/staff/orders/{order.id}/{act}/", {"version": "1", **sent})
    page = read(response)
    assert said in response.context["refused"].why
    assert response.context["opened"] == act
    typed = [text for texts in sent.values() for text in ([texts] if isinstance(texts, str) else texts)]
    for text in typed:
        assert f'value="{text}"' in page or f">{text}</textarea>" in page
    order.refresh_from_db()
    assert (order.version, on_shelf(shop)) == (1, (10, 2))


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("version", ["", "x", "-1", "٣", "9" * 30])
def test_act_without_what_was_seen_is_refused(shop: Business, version: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2))
    said = press(signed_in(shop), order, "cancel", reason="they left", version=version)
    assert said == "Open the order’s page again, and use its form."


Meanwhile = Callable[[Order], object]

RACES: list[tuple[str, str, Meanwhile, str, dict[str, Any]]] = [
    (
        Status.PENDING,
        "pay",
        lambda order: verb("cancel", order, reason="they left"),
        "Cancelled (they left)",
        PAID,
    ),
    (Status.PENDING, "cancel", pay, "Paid £19.80 (By bank TX-", {"reason": "they left"}),
    (Status.PENDING, "extend", pay, "Paid £19.80", {"minutes": "5", "reason": "asked"}),
    (Status.DRAFT, "submit", lambda order: verb("cancel", order, reason="x"), "Cancelled (x)", {}),
    (Status.PAID, "process", lambda order: verb("start_processing", order), "Being packed", {}),
    (
        Status.PROCESSING,
        "ship",
        lambda order: verb("ship", order, carrier="Royal Mail", tracking_number="RM7"),
        "Shipped (Royal Mail RM7)",
        SENT,
    ),
    (Status.SHIPPED, "correct", lambda order: verb("deliver", order), "Delivered", SENT),
    (
        Status.PENDING,
        "edit",
        lambda order: verb("edit", order, change=Edit(lines=(Line("MUG-01", 5),))),
        "Edited (MUG-01 2 → 5. It comes to £49.50)",
        {"sku": ["MUG-01"], "quantity": ["3"]},
    ),
]


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("status", "act", "meanwhile", "said", "sent"), RACES, ids=[race[1] for race in RACES])
def test_act_that_came_too_late_says_who_did_what(
    shop: Business, status: str, act: str, meanwhile: Meanwhile, said: str, sent: dict[str, Any], all_is_well: None
) -> None:
    product(shop)
    order = order_in(shop, status)
    seen = Order.objects.get(id=order.id).version
    meanwhile(order)
    before = Order.objects.get(id=order.id)
    response = signed_in(shop).post(f"/staff/orders/{order.id}/{act}/", {"version": seen, **sent})
    page = words_of(read(response))
    assert "It changed since you looked: " in page
    assert f"Meanwhile: {said}" in page.replace(" )", ")")
    assert ", by test" in page
    assert Order.objects.get(id=order.id).version == before.version


@pytest.mark.usefixtures("db")
def test_parcel_that_another_sent_first_can_only_be_set_right(shop: Business) -> None:
    product(shop)
    order = order_in(shop, Status.PROCESSING)
    seen = Order.objects.get(id=order.id).version
    verb("ship", order, carrier="Royal Mail", tracking_number="RM7")
    page = read(signed_in(shop).post(f"/staff/orders/{order.id}/ship/", {"version": seen, **SENT}))
    assert f"/staff/orders/{order.id}/ship/" not in page
    form = page.partition(f"/staff/orders/{order.id}/correct/")[2].partition("</form>")[0]
    assert SENT["tracking_number"] in form


@pytest.mark.usefixtures("db")
def test_note_of_somebody_else_is_in_nobody_s_way(shop: Business) -> None:
    product(shop)
    order = order_in(shop, Status.PENDING)
    verb("add_note", order, text="They call tonight")
    assert press(signed_in(shop), order, "pay", version="1", **PAID) == f"{order.number} is paid."
    assert (
        press(signed_in(shop), order, "note", version="1", text="They did")
        == f"Your note stands with {order.number}."
    )


@pytest.mark.usefixtures("db")
def test_money_that_comes_after_all_is_recorded_and_owed(shop: Business, all_is_well: None) -> None:
    product(shop)
    order = order_in(shop, Status.CANCELLED)
    said = press(signed_in(shop), order, "pay", **PAID)
    assert said.startswith(f"The money for {order.number} is recorded.")
    order.refresh_from_db()
    assert order.payment_status == "refund_due"


@pytest.mark.usefixtures("db")
def test_money_that_comes_late_brings_the_order_back(shop: Business, now: datetime, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2), now=now - timedelta(minutes=16))
    assert press(signed_in(shop), order, "pay", **PAID) == f"{order.number} is paid."


def test_one_of_two_people_at_once_wins_and_the_other_is_told(
    committed: None, shop: Business, at_once: Callable[..., list[Any]], all_is_well: None
) -> None:
    """One cancels, the other confirms the payment, both from a page that said the order waits."""
    product(shop)
    order = place(shop, ("MUG-01", 2))
    ann, ben = signed_in(shop), signed_in(shop)
    answers = at_once(
        [
            lambda: ann.post(f"/staff/orders/{order.id}/cancel/", {"version": "1", "reason": "they left"}),
            lambda: ben.post(f"/staff/orders/{order.id}/pay/", {"version": "1", **PAID}),
        ],
        behind=order,
        in_turn=True,
    )
    assert [answer.status_code for answer in answers] == [302, 200]
    page = words_of(read(answers[1]))
    assert "Meanwhile: Cancelled (they left). Released: 2 × MUG-01, by user-" in page
    order.refresh_from_db()
    assert (order.status, order.version) == ("cancelled", 2)
    assert not Payment.objects.filter(order=order).exists()
    assert on_shelf(shop) == (10, 0)


def test_double_click_is_done_once(
    committed: None, shop: Business, at_once: Callable[..., list[Any]], all_is_well: None
) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2))
    due = order.payment_due_at
    assert due is not None
    client = signed_in(shop)
    sent = {"version": "1", "minutes": "10", "reason": "asked"}
    at_once([lambda: client.post(f"/staff/orders/{order.id}/extend/", sent)] * 2, behind=order)
    order.refresh_from_db()
    assert order.payment_due_at == due + timedelta(minutes=10)
