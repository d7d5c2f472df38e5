import http.client
import json
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import F, Sum

from catalog.models import LONGEST_SKU, ApiKey, Business, Product, StockMovement
from catalog.services import LARGEST_ADJUSTMENT, add_product, adjust_stock, make_api_key
from orders.demo import SLUG
from orders_project.clock import database_now
from orders_project.errors import DomainError
from orders_project.local.supervisor import on_stop

MOST_BUYERS = 10_000
MOST_AT_ONCE = 500
ACTOR = "person:flash_sale"
KEY_NAME = "Flash sale"
TIMEOUT = 30  # seconds for one answer
TRIES = 10  # of one buyer, with the same Idempotency-Key
LONGEST_PAUSE = 1.0  # seconds between two tries
BAR = 40  # characters


class Command(BaseCommand):
    help = (
        "Send a rush of buyers for one product to the running server, as HTTP orders, and see that each unit is "
        "sold once and everybody else is refused. Exits non-zero if not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        port = os.environ.get("PORT") or "8000"
        parser.add_argument("--buyers", type=int, default=1000, help="Each wants one unit; 10,000 at most.")
        parser.add_argument("--units", type=int, default=50, help="So many are made available first.")
        parser.add_argument("--sku", default="MUG-01", help="It is added to the catalog if it isn't there.")
        parser.add_argument("--business", default=SLUG, help="Its slug; the demo shop if it isn't given.")
        parser.add_argument("--url", default=f"http://127.0.0.1:{port}", help="Where the server answers.")
        parser.add_argument("--at-once", type=int, default=100, help="How many ask at the same moment.")
        parser.add_argument("--yes-really", action="store_true", help="Do it on a production system too.")

    def handle(
        self,
        *args: Any,
        buyers: int,
        units: int,
        sku: str,
        business: str,
        url: str,
        at_once: int,
        yes_really: bool,
        **options: Any,
    ) -> None:
        if not (settings.LOCAL or yes_really):
            raise CommandError("This sells to buyers who don't exist. If you mean it: --yes-really.")
        _check_range("--buyers", buyers, 1, MOST_BUYERS)
        _check_range("--units", units, 0, LARGEST_ADJUSTMENT)
        _check_range("--at-once", at_once, 1, MOST_AT_ONCE)
        if not 0 < len(sku) <= LONGEST_SKU:
            raise CommandError(f"--sku must have from 1 to {LONGEST_SKU} characters.")
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise CommandError(f"--url must be such as http://127.0.0.1:8000, not {url!r}.")
        _check_server(place)
        shop = Business.objects.filter(slug=business).first()
        if shop is None:
            raise CommandError(
                f"There is no business “{business}”. `python manage.py seed_demo` makes the demo shop."
            )
        product = _put_on_shelf(shop, sku, units)
        begun = database_now()
        with on_stop(_interrupt), _temporary_key(shop) as key:
            rush = Rush(place, key, sku)
            rush.check_same_shop(product, units)
            self.stdout.write(f"Flash sale of {sku} in “{shop.name}”: {buyers:,} buyers, {units:,} units.")
            try:
                rush.run(buyers, at_once, show=lambda: self._show_progress(rush, buyers))
            except KeyboardInterrupt:
                raise CommandError("Stopped.") from None
        self._show_summary(rush)
        self._judge(rush, wanted=min(buyers, units + _moved_by_others(product, since=begun)))
        call_command("verify_stock", stdout=self.stdout)

    def _show_progress(self, rush: "Rush", buyers: int) -> None:
        if self.stdout.isatty():
            done = len(rush.seconds)
            bar = "#" * (BAR * done // buyers)
            self.stdout.write(
                f"\r[{bar:<{BAR}}] {done:,}/{buyers:,}  {rush.sold:,} sold, {rush.refused:,} refused",
                ending="\n" if done == buyers else "",
            )
            self.stdout.flush()

    def _show_summary(self, rush: "Rush") -> None:
        slow = sorted(rush.seconds)
        middle, most = slow[len(slow) // 2], slow[len(slow) * 99 // 100]
        failed = "".join(f", {count:,} {code}" for code, count in rush.failures.most_common())
        self.stdout.write(
            f"  sold      {rush.sold:,}\n"
            f"  refused   {rush.refused:,}\n"
            f"  errors    {rush.failures.total():,}{failed}\n"
            f"  took      {rush.took:.1f} s, {len(slow) / rush.took:,.0f} answers a second\n"
            f"  answered  p50 {middle * 1000:.0f} ms, p99 {most * 1000:.0f} ms, slowest {slow[-1] * 1000:.0f} ms"
        )

    def _judge(self, rush: "Rush", wanted: int) -> None:
        """Raises CommandError if not as many were sold as there were, or a buyer got no answer."""
        if rush.failures:
            raise CommandError(f"{rush.failures.total():,} buyers got no answer that they could use.")
        if rush.sold != wanted:
            raise CommandError(f"{rush.sold:,} units were sold, and {wanted:,} should have been.")


@dataclass
class Rush:
    """Buyers who want one unit of the same goods, many at the same moment, and what became of them."""

    server: SplitResult
    key: str
    sku: str
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    sold: int = 0
    refused: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # that each buyer waited
    took: float = 0
    _stopped: bool = False
    _own: threading.local = field(default_factory=threading.local)

    def check_same_shop(self, product: Product, units: int) -> None:
        """Raises CommandError if the server doesn't see what we see."""
        status, answer = self._ask("GET", f"/api/v1/products/{product.id}/availability")
        if status != 200 or answer["available"] != units:
            raise CommandError(
                f"The server at {self.server.geturl()} works on another database than this command."
            )

    def run(self, buyers: int, at_once: int, *, show: Callable[[], None]) -> None:
        """Have them all buy, and show it after each that was answered."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(at_once) as crowd:
            try:
                for bought in as_completed([crowd.submit(self._buy, number) for number in range(buyers)]):
                    self._count(*bought.result())
                    show()
            except BaseException:  # Ctrl-C too
                self._stopped = True
                crowd.shutdown(wait=False, cancel_futures=True)
                raise
        self.took = time.perf_counter() - begun

    def _count(self, outcome: str, seconds: float) -> None:
        self.seconds.append(seconds)
        if outcome == "sold":
            self.sold += 1
        elif outcome == "insufficient_stock":
            self.refused += 1
        else:
            self.failures[outcome] += 1

    def _buy(self, number: int) -> tuple[str, float]:
        """One buyer's order: "sold" or the code of the refusal, and the seconds that it took. What may have come
        to nothing is asked again under the same Idempotency-Key."""
        buyer = f"flash-{self.name}-{number}"
        order = {
            "channel": "website",
            "customer": {"name": f"Buyer {number + 1}", "external_id": buyer},
            "items": [{"sku": self.sku, "quantity": 1}],
        }
        begun = time.perf_counter()
        for _ in range(TRIES):
            status, answer = self._ask("POST", "/api/v1/orders", order, {"Idempotency-Key": buyer})
            outcome = "sold" if status in (200, 201) else str(answer.get("code", status))
            if self._stopped or not (status in (0, 429, 502, 503, 504) or outcome == "key_in_flight"):
                break
            time.sleep(random.uniform(0, LONGEST_PAUSE))
        return outcome, time.perf_counter() - begun

    def _ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer; status 0, and what went wrong as the code, without one."""
        connection = getattr(self._own, "connection", None) or _connect(self.server)
        self._own.connection = connection
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json", **(headers or {})},
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            return 0, {"code": type(error).__name__}


def _connect(server: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    return kind(server.netloc, timeout=TIMEOUT)


def _check_range(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise CommandError(f"{option} must be from {least:,} to {most:,}, not {value:,}.")


def _check_server(server: SplitResult) -> None:
    """Raises CommandError if there is none."""
    connection = _connect(server)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status != 200:
            raise CommandError(f"What answers at {server.geturl()} is not Holdfast.")
    except (OSError, http.client.HTTPException):
        raise CommandError(f"Nothing answers at {server.geturl()}. Start Holdfast first: make run") from None
    finally:
        connection.close()


def _put_on_shelf(shop: Business, sku: str, units: int) -> Product:
    """The product, of which exactly so many units are available then. Raises CommandError."""
    now = database_now()
    product = Product.objects.of(shop.id).filter(sku=sku).select_related("stock").first()
    try:
        if product is None:
            return add_product(
                business=shop, sku=sku, name=f"{sku} of the flash sale", price=Decimal(10), opening_stock=units,
                actor=ACTOR, now=now,
            )  # fmt: skip
        if not product.is_active:
            raise CommandError(f"{sku} is not on sale: it is not active.")
        if delta := units - product.stock.available:
            adjust_stock(
                business_id=shop.id, product_id=product.id, delta=delta, reason=f"Flash sale of {units:,} units",
                actor=ACTOR, now=now,
            )  # fmt: skip
    except DomainError as refusal:
        raise CommandError(refusal.detail) from refusal
    return product


def _moved_by_others(product: Product, *, since: datetime) -> int:
    """Units that became available meanwhile, less those that others took: of an earlier sale that wasn't paid,
    for instance."""
    moves = StockMovement.objects.of(product.business_id).filter(product=product, at__gt=since)
    others = moves.exclude(actor=f"key:{KEY_NAME}").aggregate(units=Sum(F("stock_delta") - F("reserved_delta")))
    return int(others["units"] or 0)


@contextmanager
def _temporary_key(shop: Business) -> Iterator[str]:
    key, text = make_api_key(business=shop, name=KEY_NAME, scope=ApiKey.Scope.WRITE, throttled=False)
    try:
        yield text
    finally:
        ApiKey.objects.filter(id=key.id).update(revoked_at=database_now())


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C doesn't wait for answers
    raise KeyboardInterrupt
