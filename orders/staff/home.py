"""The first page of the day: what needs a hand, and how the shop does against yesterday and last week."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from catalog.authentication import Access
from catalog.models import Alert, ApiKey, Product
from catalog.rights import Right
from catalog.staff import staff_page
from catalog.wording import grouped, of, price, share, signed
from orders.models import Discrepancy, Order, PaymentNotice, WebhookEndpoint
from orders.needs import A_WHILE, NEEDS
from orders.staff.charts import DAY, Chart, Range, Series
from orders.staff.page import link, show
from orders.stats import Day, Figures, counted_between, kept_days

MOST_COUNTED = 1000  # of what needs a hand: beyond that nobody asks how many
CHART_DAYS = 30


@staff_page
def home(request: HttpRequest, access: Access) -> HttpResponse:
    """What needs a hand, today and this week so far, and the revenue of the last days."""
    shop = Takings(access)
    return show(
        request,
        access,
        "staff/home.html",
        title="Home",
        question="What needs a hand?",
        needs=_needs(access),
        steps=_first_steps(access),
        periods=[
            ("Today", "yesterday", shop.today_so_far()),
            ("This week", "last week", shop.week_so_far()),
        ],
        local=shop.local,
        chart=shop.chart(),
    )


# --- What needs a hand ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for somebody: how many there are, and where they are listed."""

    title: str
    note: str
    tone: str
    link: str
    count: int

    @property
    def shown(self) -> str:
        if self.count > MOST_COUNTED:
            return f"{grouped(MOST_COUNTED)}+"
        return grouped(self.count or None)


def _needs(access: Access) -> list[Need]:
    business_id, now = access.business.id, access.now
    orders = Order.objects.of(business_id)
    products = Product.objects.of(business_id).filter(is_active=True)
    alerts = Alert.objects.of(business_id).open()
    unequal = Discrepancy.objects.of(business_id).open()
    unmatched = PaymentNotice.objects.of(business_id).unmatched()
    unheard = WebhookEndpoint.objects.of(business_id).failing(now - A_WHILE)

    notices, webhooks = link("payment_notices", access), link("webhooks", access)

    def need(title: str, note: str, tone: str, address: str, rows: QuerySet[Any]) -> Need:
        count = rows.order_by()[: MOST_COUNTED + 1].count()
        return Need(title, note, tone if count else "", address, count)

    def of_orders(name: str, note: str, tone: str) -> Need:
        title, narrowed = NEEDS[name]
        return need(title, note, tone, _list(access, "orders_order", needs=name), narrowed(orders, now))

    def of_products(title: str, note: str, tone: str, shelf: str, rows: QuerySet[Any]) -> Need:
        return need(title, note, tone, _list(access, "catalog_product", shelf=shelf, is_active__exact=1), rows)

    needs = [
        of_orders("expiring", "unpaid, and held for 3 minutes at most", "held"),
        of_orders("to_pack", "paid, and nobody packs them", ""),
        of_orders("no_tracking", "packed for 3 days, and not sent", "refused"),
        of_orders("refund_due", "money that is to go back", "refused"),
        of_products("Low or out", "products to restock", "held", "short", products.short()),
        of_products("Out of stock", "products that nobody can order", "refused", "out", products.out()),
        need("Alerts", "what you should know of", "refused", link("alerts", access), alerts),
        need("Findings", "books that don’t agree", "refused", link("findings", access), unequal),
    ]
    rare = [need("Payment notices", "payments that fit no order", "refused", notices, unmatched)]
    if Right.SETTINGS in access.rights:
        rare.append(need("Webhooks", "addresses that nothing gets through to", "refused", webhooks, unheard))
    return needs + [one for one in rare if one.count]  # most shops never have one


def _list(access: Access, name: str, **narrowed: Any) -> str:
    """The address of one of the admin's lists of the business, narrowed."""
    query = urlencode({"business": access.business.slug, **narrowed})
    return f"{reverse(f'admin:{name}_changelist')}?{query}"


# --- A shop that has only begun -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do first."""

    words: str
    link: str
    is_done: bool


def _first_steps(access: Access) -> list[Step]:
    """What somebody may do first in a shop that has had no order yet."""
    business = access.business
    if Order.objects.of(business.id).exists():
        return []
    steps = [
        (
            Right.PRODUCTS,
            "Add a product, with what there is of it",
            reverse("admin:catalog_product_add"),
            Product.objects.of(business.id).exists(),
        ),
        (Right.ORDERS, "Take an order by hand", link("new_order", access), False),
        (
            Right.SETTINGS,
            "Make an API key, so that your website can send orders",
            link("keys", access),
            ApiKey.objects.filter(business=business).live().exists(),
        ),
    ]
    return [Step(words, address, done) for right, words, address, done in steps if right in access.rights]


# --- How it does ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure, and how it stands against the same part of the time before or what it is a part of."""

    title: str
    value: str
    note: str


class Takings:
    """What came in lately, in the business's own currency and by its own days."""

    def __init__(self, access: Access) -> None:
        self.business = access.business
        self.zone = ZoneInfo(access.business.time_zone)
        self.local = access.now.astimezone(self.zone)
        self.today = self.local.date()
        self.first = self.today - (CHART_DAYS - 1) * DAY
        self.days = list(kept_days(self.business, self.first, self.today))

    def today_so_far(self) -> list[Compared]:
        return self._compared(self._between(self.today, self.today), self._so_far(1))

    def week_so_far(self) -> list[Compared]:
        """From Monday on, against last week up to the same day and hour."""
        monday = self.today - self.today.weekday() * DAY
        before = self._between(monday - 7 * DAY, self.today - 8 * DAY)
        before.add(self._so_far(7))
        return self._compared(self._between(monday, self.today), before)

    def _between(self, first: date, last: date) -> Figures:
        return self._sum(day for day in self.days if first <= day.day <= last)

    def _so_far(self, days_ago: int) -> Figures:
        """Of a day before, up to the hour that it is now. What is kept of it is the whole day."""
        then = self.local - days_ago * DAY
        return self._sum(counted_between(self.business, self._midnight(then.date()), then, self.zone))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone)

    def _sum(self, days: Iterable[Day]) -> Figures:
        figures = Figures()
        for day in days:
            if day.currency == self.business.currency:
                figures.add(day.figures)
        return figures

    def _compared(self, now: Figures, before: Figures) -> list[Compared]:
        currency = self.business.currency
        is_now, was = now.say(currency), before.say(currency)

        def amount(value: str | None) -> str:
            return price(value, currency)

        def compared(title: str, name: str, shown: Callable[[Any], str]) -> Compared:
            value, than = is_now[name], was[name]
            if than is None or not Decimal(than):
                note = "none by then"
            elif value is None or Decimal(than) < 0:  # of which there is no share
                note = f"{shown(than)} by then"
            elif Decimal(value) == Decimal(than):
                note = "the same by then"
            else:
                percent = signed(round(100 * (Decimal(value) / Decimal(than) - 1)))
                note = f"{percent}\N{NO-BREAK SPACE}% on {shown(than)}"
            return Compared(title, shown(value), note)

        placed = is_now["placed"]
        return [
            compared("Net revenue", "net", amount),
            compared("Orders paid", "orders", grouped),
            compared("Average order", "aov", amount),
            # Of those placed lately many may still be paid: against before it would always seem too little.
            Compared("Conversion", share(is_now["conversion"]), f"of {of(placed, 'order')} placed"),
        ]

    def chart(self) -> Chart:
        begins, ends = (self._midnight(day) for day in (self.first, self.today + DAY))
        nets = [self._between(day, day) for day in (self.first + n * DAY for n in range(CHART_DAYS))]
        name = f"net revenue, {self.business.currency}"
        return Chart(
            id="revenue",
            title="Net revenue by day",
            unit="",
            # In the business's zone, whose days may have 23 or 25 hours.
            range=Range("30d", "30 days", begins, ends, DAY, "day", 5 * DAY),
            zone=self.business.time_zone,
            series=[Series(name, "sold", [float(net.gross - net.refunded) for net in nets])],
            empty="Nothing came in yet. What the shop earns on each day appears here.",
            currency=self.business.currency,
        )
