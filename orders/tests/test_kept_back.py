"""Units of a product that are kept back from a channel: its orders leave them for those of the others."""

from collections import Counter
from datetime import timedelta

import pytest

from callers import refused
from catalog.channels import Channel
from catalog.errors import ProductNotFound
from catalog.models import AuditEntry, Stock
from catalog.services import keep_back
from factories import ACTOR, BusinessFactory, on_shelf, pay, place, placement, product, verb
from orders import services
from orders.errors import InsufficientStock
from orders.models import Order
from orders.services import Edit, Line
from orders.tests.staff import read, signed_in
from orders_project.clock import database_now
from orders_project.errors import InvalidRequest

pytestmark = pytest.mark.usefixtures("all_is_well")

MINUTE = timedelta(minutes=1)
INSTAGRAM, WHATSAPP, WEBSITE = Channel.INSTAGRAM, Channel.WHATSAPP, Channel.WEBSITE


def keep(goods, **units):
    return keep_back(
        business_id=goods.business_id,
        product_id=goods.id,
        units={Channel(channel): kept for channel, kept in units.items()},
        actor=ACTOR,
        now=database_now(),
    )


def edit(order, quantity, **more):
    return verb("edit", order, change=Edit(lines=(Line("MUG-01", quantity),)), **more)


def short(call):
    """What a refusal says is left of the only short product."""
    with pytest.raises(InsufficientStock) as refusal:
        call()
    (item,) = refusal.value.facts["items"]
    return item["available"]


@pytest.fixture
def mug(shop):
    """Five mugs, two of which are not for Instagram."""
    goods = product(shop, stock=5)
    keep(goods, instagram=2)
    return goods


@pytest.mark.usefixtures("db")
class TestPromises:
    def test_place_leaves_what_is_kept_back_from_the_channel(self, shop, mug):
        """Failure 18: channels oversell between syncs. There is one counter for all, and a buffer for each."""
        assert short(lambda: place(shop, ("MUG-01", 4), channel=INSTAGRAM)) == 3
        place(shop, ("MUG-01", 3), channel=INSTAGRAM)
        assert short(lambda: place(shop, ("MUG-01", 1), channel=INSTAGRAM)) == 0
        place(shop, ("MUG-01", 2), channel=WHATSAPP)
        assert on_shelf(shop) == (5, 5)

    def test_place_counts_what_is_free_and_not_what_is_held(self, shop, mug):
        """Holds of other channels are none of the units that are kept back."""
        place(shop, ("MUG-01", 2), channel=WEBSITE)
        place(shop, ("MUG-01", 1), channel=INSTAGRAM)
        assert short(lambda: place(shop, ("MUG-01", 1), channel=INSTAGRAM)) == 0

    def test_place_many_in_the_order_of_their_arrival(self, shop, mug, now):
        """The others' units come before in one batch, and after in the other: only those before are gone."""
        asked = [
            placement(("MUG-01", quantity), channel=channel)
            for channel, quantity in (
                *((INSTAGRAM, 2), (WEBSITE, 1), (INSTAGRAM, 1)),  # three are left, then two
                *((WEBSITE, 1), (INSTAGRAM, 1), (WHATSAPP, 1), (WEBSITE, 1)),
            )
        ]
        outcomes = services.place_many(business=shop, placements=asked, actor=ACTOR, now=now)
        refusals = [isinstance(outcome, InsufficientStock) for outcome in outcomes]
        assert refusals == [False, False, True, False, True, False, True]
        assert on_shelf(shop) == (5, 5)

    def test_submit_leaves_what_is_kept_back(self, shop, mug):
        draft = place(shop, ("MUG-01", 4), channel=INSTAGRAM, draft=True)
        assert short(lambda: verb("submit", draft)) == 3
        verb("submit", place(shop, ("MUG-01", 4), channel=WEBSITE, draft=True))

    def test_edit_leaves_what_is_kept_back_and_keeps_what_it_has(self, shop, mug):
        order = place(shop, ("MUG-01", 2), channel=INSTAGRAM)
        assert short(lambda: edit(order, 4)) == 3
        order = edit(order, 3)
        keep(mug, instagram=5)
        assert short(lambda: edit(order, 4)) == 3
        order = edit(order, 3)
        order = edit(order, 1)
        assert short(lambda: edit(order, 2)) == 1
        assert on_shelf(shop) == (5, 1)

    def test_late_payment_takes_its_goods_again(self, shop, mug, now):
        """The money is there: what is kept back is for buyers who come."""
        order = place(shop, ("MUG-01", 3), channel=INSTAGRAM, now=now)
        services.expire_due(business_id=shop.id, now=now + 15 * MINUTE)
        keep(mug, instagram=5)
        assert pay(order, now=now + 16 * MINUTE).status == "paid"

    def test_sale_that_was_made_elsewhere_is_no_promise(self, shop, mug, now):
        place(shop, ("MUG-01", 5), channel=INSTAGRAM, at=now - MINUTE, now=now)
        assert on_shelf(shop) == (5, 5)

    def test_more_is_kept_back_than_there_is(self, shop, mug):
        keep(mug, instagram=100)
        assert short(lambda: place(shop, ("MUG-01", 1), channel=INSTAGRAM)) == 0
        place(shop, ("MUG-01", 5), channel=WEBSITE)


# --- at once ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_place_hundred_buyers_of_two_channels(shop, at_once):
    """Failure 18: channels oversell between syncs. Two are left, one of them not for Instagram. All hundred have
    seen both, and those who come through Instagram come first.

    The guard: what catalog.stock.MOVE asks of a channel. Without it both are sold there: the buyers were admitted
    by what they saw before they waited.
    """
    goods = product(shop, stock=2)
    keep(goods, instagram=1)
    calls = [
        lambda channel=channel: place(shop, ("MUG-01", 1), channel=channel)
        for channel in [INSTAGRAM] * 50 + [WHATSAPP] * 50
    ]
    answers = at_once(calls, behind=Stock.objects.get(product=goods), in_turn=True)
    sold = Counter(answer.channel for answer in answers if isinstance(answer, Order))
    assert sum(isinstance(answer, InsufficientStock) for answer in answers) == 98
    assert sold.total() == 2
    assert sold[INSTAGRAM] <= 1


# --- setting it, and being told ----------------------------------------------------------------


@pytest.mark.usefixtures("db")
class TestKeepBack:
    def test_keep_back_is_told_in_the_audit(self, shop, mug):
        shelf = Stock.objects.get(product=mug)
        again = keep(mug, instagram=2, website=0)
        assert again.version == shelf.version
        changed = keep(mug, instagram=1, website=3)
        assert changed.version == shelf.version + 1
        entry = AuditEntry.objects.filter(business=shop).latest("id")
        assert entry.changes == {"kept_from_instagram": ["2", "1"], "kept_from_website": ["0", "3"]}

    @pytest.mark.parametrize("units", [-1, 1_000_001])
    def test_keep_back_out_of_range(self, mug, units):
        with pytest.raises(InvalidRequest):
            keep(mug, instagram=units)

    def test_keep_back_of_another_shop(self, mug):
        with pytest.raises(ProductNotFound):
            keep_back(
                business_id=BusinessFactory().id, product_id=mug.id, units={}, actor=ACTOR, now=database_now()
            )

    def test_availability_to_a_channel(self, shop, api, mug):
        place(shop, ("MUG-01", 1), channel=WEBSITE)
        one = f"/products/{mug.id}/availability"
        assert [
            api.get(one, {"channel": channel} if channel else None).json()["available"]
            for channel in ("", "website", "instagram")
        ] == [4, 4, 2]
        (row,) = api.get("/availability", {"sku": "MUG-01", "channel": "instagram"}).json()
        assert (row["available"], row["stock_quantity"], row["reserved_stock"]) == (2, 5, 1)
        keep(mug, instagram=9)
        assert api.get(one, {"channel": "instagram"}).json()["available"] == 0
        for path in (one, "/availability?sku=MUG-01"):
            refused(api.get(f"{path}{'&' if '?' in path else '?'}channel=fax"), 400, "invalid_parameter")

    def test_form_of_the_products_page(self, shop, mug):
        client, address = signed_in(shop), f"/staff/products/{mug.id}/"
        assert "2 of them not for Instagram" in read(client.get(address))
        shown = {"seen-whatsapp": "0", "seen-instagram": "2", "seen-website": "0"}
        keep(mug, website=7)  # somebody else, meanwhile
        sent = {**shown, "whatsapp": "3", "instagram": "2", "website": "0"}
        page = read(client.post(f"{address}keep/", sent, follow=True))
        assert "Kept back of MUG-01: 3 from WhatsApp, 2 from Instagram, 7 from Website." in page
        page = read(
            client.post(f"{address}keep/", {**shown, "whatsapp": "a few", "instagram": "2", "website": "7"})
        )
        assert "Units are a whole number" in page
        assert 'value="a few"' in page
        assert list(Stock.objects.get(product=mug).kept_back.values()) == [3, 2, 7]
