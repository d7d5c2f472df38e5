"""A verb that the database gives up is tried again: real deadlocks and lock timeouts, made on purpose."""

import threading

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from catalog.models import Business, Stock
from conftest import until, waiting
from factories import BusinessFactory, on_shelf, place, product
from orders_project.errors import Busy
from orders_project.transactions import ATTEMPTS, one_transaction, sqlstate

pytestmark = pytest.mark.usefixtures("committed", "all_is_well")

LOCK = "SELECT FROM catalog_business WHERE id = %s FOR NO KEY UPDATE"


@pytest.fixture
def setting():
    """Sets something of this connection until the test ends."""
    changed = []

    def set_to(name, value):
        changed.append(name)
        with connection.cursor() as cursor:
            cursor.execute(f"SET {name} = '{value}'")

    yield set_to
    for name in changed:
        with connection.cursor() as cursor:
            cursor.execute(f"RESET {name}")


def lock(business):
    """What a verb does first: lock a row that somebody else may have locked."""
    Business.objects.select_for_update(no_key=True).get(id=business.id)


def rename(business, name):
    Business.objects.filter(id=business.id).update(name=name)


def test_one_transaction_deadlock_is_tried_again(another_session, setting):
    """Two take the same two rows in opposite orders. PostgreSQL gives our side up; the second try succeeds."""
    first, second = BusinessFactory(), BusinessFactory()
    other = another_session()
    other.execute("SET deadlock_timeout = '60s'")  # so that it is we who are given up
    setting("deadlock_timeout", "10ms")
    setting("lock_timeout", "60s")  # so that it is no timeout that gives us up
    tries, collides = [], threading.Thread(target=lambda: other.execute(LOCK, [first.id]))

    @one_transaction
    def rename_both():
        tries.append(1)
        if len(tries) == 2:  # our side was given up, so theirs went on; it is done now
            collides.join()
            other.rollback()
        rename(first, "tried")
        if len(tries) == 1:
            other.execute(LOCK, [second.id])
            collides.start()
            until(lambda: waiting([other.info.backend_pid]) == 1)
        rename(second, "both")
        return "done"

    try:
        assert rename_both() == "done"
    finally:
        collides.join()
    assert len(tries) == 2
    assert Business.objects.get(id=first.id).name == "tried"
    assert Business.objects.get(id=second.id).name == "both"


def test_one_transaction_lock_timeout_is_tried_again(another_session, setting):
    business = BusinessFactory()
    other = another_session()
    other.execute(LOCK, [business.id])
    setting("lock_timeout", "20ms")
    tries = []

    @one_transaction
    def wait_for_it():
        tries.append(1)
        if len(tries) == 3:
            other.rollback()
        lock(business)
        return "done"

    assert wait_for_it() == "done"
    assert len(tries) == 3


def test_one_transaction_serialization_failure_is_tried_again(another_session):
    business = BusinessFactory()
    other = another_session()
    tries = []

    @one_transaction
    def repeatable():
        tries.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        Business.objects.get(id=business.id)
        if len(tries) == 1:
            other.execute("UPDATE catalog_business SET name = 'meanwhile' WHERE id = %s", [business.id])
            other.commit()
        rename(business, "after all")

    repeatable()
    assert len(tries) == 2
    assert Business.objects.get(id=business.id).name == "after all"


def test_one_transaction_busy_after_so_many_tries(another_session, setting):
    """It does not try for ever: the client is told to come back, and nothing was changed."""
    business = BusinessFactory(name="as it was")
    locked = BusinessFactory()
    other = another_session()
    other.execute(LOCK, [locked.id])
    setting("lock_timeout", "10ms")
    tries = []

    @one_transaction
    def wait_for_it():
        tries.append(1)
        rename(business, "half done")
        lock(locked)

    with pytest.raises(Busy) as refused:
        wait_for_it()
    assert refused.value.facts == {"retry_after": 1}
    assert len(tries) == ATTEMPTS
    assert Business.objects.get(id=business.id).name == "as it was"


def test_one_transaction_a_broken_rule_is_not_tried_again():
    business = BusinessFactory(name="as it was")
    tries = []

    @one_transaction
    def break_a_rule():
        tries.append(1)
        rename(business, "half done")
        Business.objects.filter(id=business.id).update(currency="pounds")

    with pytest.raises(DatabaseError):
        break_a_rule()
    assert len(tries) == 1
    assert Business.objects.get(id=business.id).name == "as it was"


def test_one_transaction_inside_another_leaves_the_trying_to_it(another_session, setting):
    """The locks that collided are the caller's too, so only the caller can let go of them."""
    business = BusinessFactory()
    other = another_session()
    other.execute(LOCK, [business.id])
    setting("lock_timeout", "10ms")
    outer, inner = [], []

    @one_transaction
    def part():
        inner.append(1)
        lock(business)

    @one_transaction
    def whole():
        outer.append(1)
        if len(outer) == 2:
            other.rollback()
        part()

    whole()
    assert (len(outer), len(inner)) == (2, 2)


def test_sqlstate_of_what_the_server_said(another_session, setting):
    business = BusinessFactory()
    another_session().execute(LOCK, [business.id])
    setting("lock_timeout", "10ms")
    with pytest.raises(OperationalError) as failed, transaction.atomic():
        lock(business)
    assert sqlstate(failed.value) == "55P03"
    assert sqlstate(ValueError()) is None


def test_verb_is_busy_while_somebody_keeps_its_shelf(shop, another_session, setting):
    """A verb of the house, not a made-up one: the buyer is told to try again, and then succeeds."""
    goods = product(shop)
    other = another_session()
    other.execute("SELECT FROM catalog_stock WHERE product_id = %s FOR NO KEY UPDATE", [goods.id])
    setting("lock_timeout", "10ms")
    with pytest.raises(Busy):
        place(shop, ("MUG-01", 1))
    other.rollback()
    assert place(shop, ("MUG-01", 1)).status == "pending"
    assert on_shelf(shop) == (10, 1)
    assert Stock.objects.get(product=goods).version == 3
