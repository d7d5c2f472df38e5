"""The one door to the counters."""

import pytest
from django.db import transaction

from catalog import stock
from catalog.models import Stock, StockMovement
from catalog.stock import Kind, Move, ShelfShort
from factories import ACTOR, on_shelf, place, product

pytestmark = pytest.mark.usefixtures("db", "all_is_well")


def move(shop, *lines):
    with transaction.atomic():  # as every verb is
        stock.move(business_id=shop.id, moves=lines, actor=ACTOR, reason="delivery 17")


def test_move_writes_the_ledger_and_the_counters(shop, now):
    """Failure 10: the reserved counter drifts or goes negative. One transaction writes both."""
    mug, tea = product(shop, "MUG-01", stock=10), product(shop, "TEA-01", stock=10)
    versions = dict(Stock.objects.filter(business=shop).values_list("product_id", "version"))
    moves = [
        Move(mug.id, Kind.RECEIVED, now, stock_delta=2),
        Move(tea.id, Kind.RECEIVED, now, stock_delta=5),
        Move(mug.id, Kind.ADJUSTED, now, stock_delta=-1),  # several of one product: moved by their sum
    ]
    move(shop, *moves)
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(11, 0), (15, 0)]
    lines = StockMovement.objects.filter(business=shop, reason="delivery 17", actor=ACTOR)
    assert lines.count() == 3
    for shelf in Stock.objects.filter(business=shop):
        assert shelf.version == versions[shelf.product_id] + 1


@pytest.mark.parametrize(
    ("kind", "stock_delta", "reserved_delta"),
    [
        (Kind.ADJUSTED, -7, 0),  # six are free
        (Kind.RESERVED, 0, 7),
        (Kind.RELEASED, 0, -5),  # four are held
        (Kind.SOLD, -5, -5),
    ],
)
def test_move_that_leaves_a_promise_uncovered(shop, now, kind, stock_delta, reserved_delta):
    """Failure 10: the reserved counter goes negative. It is refused, never clamped."""
    goods = product(shop, stock=10)
    order = place(shop, ("MUG-01", 4))
    order_id = None if kind == Kind.ADJUSTED else order.id
    line = Move(goods.id, kind, now, stock_delta, reserved_delta, order_id)
    with pytest.raises(ShelfShort):
        move(shop, line)
    assert on_shelf(shop) == (10, 4)


def test_move_one_of_several_refused_moves_none(shop, now):
    mug, tea = product(shop, "MUG-01", stock=10), product(shop, "TEA-01", stock=1)
    with pytest.raises(ShelfShort):
        move(
            shop,
            Move(mug.id, Kind.ADJUSTED, now, stock_delta=-2),
            Move(tea.id, Kind.ADJUSTED, now, stock_delta=-2),
        )
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(10, 0), (1, 0)]
    assert not StockMovement.objects.filter(business=shop, kind="adjusted").exists()


def test_available_is_stock_less_what_is_held(shop):
    """Failure 5: "in stock" is shown while all units are held."""
    goods = product(shop, stock=10)
    place(shop, ("MUG-01", 10))
    for locked in (False, True):
        free = stock.look(business_id=shop.id, product_ids=[goods.id], locked=locked)
        assert free == ({goods.id: 0}, {})
