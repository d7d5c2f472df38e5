"""Corrections of the count that meet."""

from collections import Counter

import pytest

from callers import Caller, refused
from catalog.models import Stock
from conftest import until
from factories import api_key, on_shelf, product

WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"

pytestmark = pytest.mark.usefixtures("committed", "all_is_well")


def adjust(key, mug, delta, **headers):
    return lambda: Caller(key=key).post(
        f"/products/{mug.id}/stock-adjustments", {"delta": delta, "reason": "counted"}, **headers
    )


@pytest.mark.slow
def test_adjust_by_twenty_at_once_loses_none(shop, at_once):
    mug, key = product(shop, stock=20), api_key(shop)
    answers = at_once([adjust(key, mug, delta) for delta in [1, -1, 3, -2] * 5])
    assert Counter(answer.status_code for answer in answers) == {201: 20}
    assert on_shelf(shop) == (25, 0)


def test_adjust_of_one_version_by_ten_at_once_is_done_by_one(shop, at_once):
    mug, key = product(shop), api_key(shop)
    behind = Stock.objects.get(product=mug)
    answers = at_once([adjust(key, mug, 1, If_Match='"2"') for _ in range(10)], behind=behind)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 9}
    assert on_shelf(shop) == (11, 0)


def test_adjust_with_one_key_by_ten_at_once_is_done_once(shop, at_once):
    mug, key = product(shop), api_key(shop)
    behind = Stock.objects.get(product=mug)
    answers = at_once([adjust(key, mug, 1, Idempotency_Key="k-1") for _ in range(10)], behind=behind)
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert {answer.json()["available"] for answer in answers} == {11}
    assert on_shelf(shop) == (11, 0)


def test_adjust_two_products_with_one_key_at_once_does_one(shop, at_once, another_session):
    """The key is unique in the database: whoever comes second is told whose it is, and not a server error."""
    mug, cup, key = product(shop), product(shop, "CUP-01"), api_key(shop)
    gate = another_session()
    # The ledger's foreign key waits for this lock when its row, with the key, is already written.
    gate.execute("SELECT FROM catalog_product WHERE id = ANY(%s) FOR UPDATE", [[mug.id, cup.id]])

    def open_the_gate():
        until(lambda: sum(waits for (waits,) in gate.execute(WAITING).fetchall()) == 2)
        gate.rollback()

    calls = [adjust(key, goods, 1, Idempotency_Key="k-1") for goods in (mug, cup)]
    *answers, _ = at_once([*calls, open_the_gate])
    assert Counter(answer.status_code for answer in answers) == {201: 1, 422: 1}
    [second] = [answer for answer in answers if answer.status_code == 422]
    assert refused(second, 422, "idempotency_key_reused")["idempotency_key"] == "k-1"
    assert on_shelf(shop)[0] + on_shelf(shop, "CUP-01")[0] == 21
