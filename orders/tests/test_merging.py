"""Making one customer of two: no order, no money and no word is lost, whatever else happens at the same moment."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.models import AuditEntry
from customers.errors import CustomerNotFound, NotesTooLong, SameCustomer
from customers.models import Customer
from customers.services import Buyer, edit_customer
from factories import ACTOR, BusinessFactory, order_in, pay, place, product, verb
from orders.errors import TooManyOrders
from orders.models import Order, OrderEvent
from orders.services import merge_customers, merging
from orders_project.clock import database_now
from orders_project.errors import PreconditionFailed

ADA = Buyer(name="Ada", phone="+447700900123", email="ada@example.com")
A_LOVELACE = Buyer(name="A. Lovelace", phone="+447700900124", email="lovelace@example.com", external_id="c-7")

rolled_back = pytest.mark.usefixtures("db", "all_is_well")


def bought(shop, buyer, quantity=1, **more):
    """An order of somebody's."""
    return place(shop, ("MUG-01", quantity), buyer=buyer, **more)


def merge(kept, merged, **more):
    return merge_customers(
        business_id=kept.business_id,
        kept_id=kept.id,
        merged_id=merged.id,
        actor=ACTOR,
        now=more.pop("now", None) or database_now(),
        **more,
    )


def edit(customer, **fields):
    return edit_customer(
        business=customer.business, customer_id=customer.id, edit=fields, actor=ACTOR, now=database_now()
    )


def with_note(customer, note):
    edit(customer, note=note)
    customer.refresh_from_db()
    return customer


# --- What is kept ------------------------------------------------------------------------------


@rolled_back
def test_merge_keeps_every_order_and_counts_anew(shop, now):
    product(shop, stock=100)
    first = pay(bought(shop, ADA, 1))
    others = [pay(bought(shop, A_LOVELACE, 2)), bought(shop, A_LOVELACE, 3), order_in(shop, "cancelled")]
    ada, lovelace = first.customer, others[0].customer
    kept = merge(ada, lovelace, now=now)
    assert set(Order.objects.filter(customer=ada)) == {first, *others[:2]}
    assert (kept.total_orders, kept.total_spent) == (2, Decimal("29.70"))
    assert kept.last_paid_at == Order.objects.get(id=others[0].id).paid_at
    assert kept.engagement_score == Customer.objects.get(id=ada.id).engagement_score > 0
    assert not Customer.objects.filter(id=lovelace.id).exists()


@rolled_back
def test_merge_keeps_what_is_on_file_and_fills_what_is_not(shop, now):
    product(shop)
    walk_in = bought(shop, Buyer(name="Ada", email="ada@example.com"), now=now).customer
    known = bought(shop, A_LOVELACE, 2, now=now - timedelta(minutes=3)).customer
    walk_in, known = with_note(walk_in, "Likes blue."), with_note(known, "Rings first.")
    kept = merge(walk_in, known)
    assert (kept.name, kept.email) == ("Ada", "ada@example.com")
    assert (kept.phone, kept.external_id) == ("+447700900124", "c-7")
    assert kept.note == "Likes blue.\n\nRings first."
    assert kept.created_at == known.created_at


@rolled_back
def test_merge_is_told_on_each_order_and_in_the_audit(shop, now):
    product(shop, stock=100)
    ada, order = bought(shop, ADA).customer, pay(bought(shop, A_LOVELACE))
    lovelace = with_note(order.customer, "Rings first.")
    merge(ada, lovelace, now=now)
    last = OrderEvent.objects.filter(order=order).latest("version")
    assert (last.kind, last.actor, last.version) == ("customer_merged", ACTOR, order.version + 1)
    assert (last.facts["from"], last.facts["to"]) == ("A. Lovelace", "Ada")
    gone = AuditEntry.objects.get(business=shop, subject=str(lovelace.id), action="merged")
    assert (gone.actor, gone.title) == (ACTOR, "A. Lovelace")
    assert gone.changes == {
        "id": [str(lovelace.id), str(ada.id)],
        "name": ["A. Lovelace", ""],
        "phone": ["+447700900124", ""],
        "email": ["lovelace@example.com", ""],
        "external_id": ["c-7", ""],
        "note": ["Rings first.", ""],
        "created_at": [lovelace.created_at.isoformat(), ""],
        "total_orders": ["1", ""],
        "total_spent": ["9.90", ""],
        "orders": ["1", "0"],
    }
    took = AuditEntry.objects.get(business=shop, subject=str(ada.id), action="took over")
    assert took.changes == {
        "merged with": ["", "A. Lovelace"],
        "external_id": ["", "c-7"],
        "note": ["", "Rings first."],
    }


@rolled_back
def test_order_with_an_identity_that_was_taken_over_finds_the_kept_one(shop):
    """And with one that wasn't, it makes a new customer: the kept one has a phone of their own."""
    product(shop, stock=100)
    ada, lovelace = bought(shop, ADA).customer, bought(shop, A_LOVELACE).customer
    merge(ada, lovelace)
    assert bought(shop, Buyer(name="Ada", external_id="c-7"), 2).customer == ada
    assert bought(shop, Buyer(name="Ada", phone=A_LOVELACE.phone), 3).customer != ada


@rolled_back
def test_merge_is_refused_and_nothing_changes(shop, now, monkeypatch):
    product(shop, stock=100)
    ada, lovelace = bought(shop, ADA).customer, bought(shop, A_LOVELACE).customer
    with pytest.raises(SameCustomer):
        merge(ada, ada)
    foreign = BusinessFactory()
    product(foreign)
    stranger = bought(foreign, ADA).customer
    for kept, merged in [(ada, stranger), (stranger, ada)]:
        with pytest.raises(CustomerNotFound):
            merge(kept, merged)
    with pytest.raises(PreconditionFailed):
        merge(ada, lovelace, seen=(ada.edition, ada.edition))
    with_note(ada, "a" * 3000)
    with_note(lovelace, "b" * 3000)
    with pytest.raises(NotesTooLong):
        merge(ada, lovelace)
    with_note(lovelace, "b" * 1998)
    monkeypatch.setattr(merging, "MOST_MOVED", 0)
    with pytest.raises(TooManyOrders):
        merge(ada, lovelace)
    assert Order.objects.filter(business=shop, version=1).count() == 2
    assert Customer.objects.filter(business=shop).count() == 2


@rolled_back
def test_customer_who_was_merged_is_said_to_be(shop, api):
    product(shop, stock=100)
    ada, lovelace = bought(shop, ADA).customer, bought(shop, A_LOVELACE).customer
    merge(ada, lovelace)
    problem = api.get(f"/customers/{lovelace.id}").json()
    assert (problem["code"], problem["merged_into"]) == ("customer_not_found", str(ada.id))
    with pytest.raises(CustomerNotFound, match="merged into another customer by test"):
        merge(ada, lovelace)


@rolled_back
@pytest.mark.parametrize("status", ["draft", "pending", "paid", "processing", "shipped", "delivered", "cancelled"])
def test_merge_moves_orders_in_any_status(shop, status):
    """And the verbs go on with them: the counters are the kept one's."""
    product(shop, stock=100)
    ada, order = bought(shop, ADA).customer, order_in(shop, status)
    merge(ada, order.customer)
    moved = Order.objects.get(id=order.id)
    assert (moved.customer, moved.status) == (ada, status)
    if status == "pending":
        pay(moved)
    if status in ("paid", "processing"):
        verb("cancel", moved, reason="changed their mind")
    ada.refresh_from_db()
    assert ada.total_orders == (status in ("pending", "shipped", "delivered"))


# --- At the same moment: each was seen red without its guard -----------------------------------


at_the_same_moment = pytest.mark.usefixtures("committed", "all_is_well", "no_second_try")


@pytest.fixture
def two(committed, shop):
    """Two customers who are the same, the one to keep last in key order; nobody is slowed by the guard against
    double clicks, which locks a customer too."""
    shop.duplicate_window_seconds = 0
    shop.save()
    product(shop, stock=100)
    merged = pay(bought(shop, Buyer(name="A. Lovelace", phone="+447700900124"))).customer
    kept = pay(bought(shop, Buyer(name="Ada", email="ada@example.com"))).customer
    return kept, merged


@at_the_same_moment
def test_merge_while_an_order_is_being_placed(shop, two, at_once):
    """The guard: take_both waits for who is placing (FOR UPDATE), though all that they hold of the customer is the
    order's reference. Without it the order is not seen, and the merged customer can't go."""
    kept, merged = two
    shop.most_open_orders, shop.duplicate_window_seconds = None, 0
    shop.save(update_fields=["most_open_orders", "duplicate_window_seconds"])
    shelf = shop.products.get().stock
    placed, answer = at_once(
        [lambda: bought(shop, Buyer(name="A", phone="+447700900124"), 3), lambda: merge(kept, merged)],
        behind=shelf,
        in_turn=True,
    )
    assert answer == kept, answer
    assert Order.objects.get(id=placed.id).customer == kept
    assert Order.objects.filter(customer=kept).count() == 3


@at_the_same_moment
def test_place_while_the_customer_is_being_merged(shop, two, at_once):
    """The guard: order_customer_same_business in WORTH_ANOTHER_LOOK. Without it the buyer gets an error."""
    kept, merged = two
    answer, placed = at_once(
        [lambda: merge(kept, merged), lambda: bought(shop, Buyer(name="A", phone="+447700900124"), 3)],
        behind=kept,
        in_turn=True,
    )
    assert answer == kept, answer
    assert placed.customer == kept
    assert Order.objects.filter(customer=kept).count() == 3


@at_the_same_moment
@pytest.mark.parametrize("turned", [False, True], ids=["paid first", "merged first"])
def test_merge_while_an_order_is_being_paid(shop, two, at_once, turned):
    """The guard: the orders are locked before the customers. Without it the two wait for each other."""
    kept, merged = two
    order = bought(shop, Buyer(name="A", phone="+447700900124"), 3)
    calls = [lambda: pay(order), lambda: merge(kept, merged)]
    answers = at_once(
        calls[::-1] if turned else calls, behind=kept if turned else shop.products.get().stock, in_turn=True
    )
    assert Counter(type(answer).__name__ for answer in answers) == {"Order": 1, "Customer": 1}, answers
    kept.refresh_from_db()
    assert (kept.total_orders, kept.total_spent) == (3, Decimal("49.50"))


@at_the_same_moment
def test_merge_two_into_each_other(shop, two, at_once):
    """The guard: both are locked, in key order, before either is looked at. Without it each removes the other."""
    one, other = two
    answers = at_once([lambda: merge(one, other), lambda: merge(other, one)], behind=min(two, key=lambda c: c.id))
    assert Counter(type(answer).__name__ for answer in answers) == {"Customer": 1, "CustomerNotFound": 1}, answers
    (left,) = Customer.objects.filter(business=shop)
    assert left.orders.count() == left.total_orders == 2


@at_the_same_moment
def test_merge_one_into_two_others_at_once(shop, two, at_once):
    kept, merged = two
    third = bought(shop, Buyer(name="Ida", email="ida@example.com")).customer
    answers = at_once([lambda: merge(kept, merged), lambda: merge(third, merged)], behind=merged)
    assert Counter(type(answer).__name__ for answer in answers) == {"Customer": 1, "CustomerNotFound": 1}, answers
    assert Customer.objects.filter(business=shop).count() == 2
    assert Order.objects.filter(business=shop).count() == 3
