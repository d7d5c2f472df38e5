"""Every form of the back office filled in with anything at all, and every page asked with any parameter: found by
walking the pages, so a new form is tried as soon as a page shows it. `HOLDFAST_LONG=1` tries it a hundred times as
often."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.back_office import ShopAdmin
from catalog.models import Business
from catalog.services import receive_stock
from factories import ACTOR, order_in
from orders.invariants import findings
from orders.lifecycle import Status
from orders.tests.forms import Form, Page, Pairs, forms_on, pages_at, route
from orders.tests.staff import signed_in
from orders.tests.test_rights import IMPORTS, STAFF, address_of, one_of, pages, things_of
from orders_project.clock import database_now

pytestmark = pytest.mark.slow

LONG = settings().max_examples > 100
OF_EACH = settings(max_examples=settings().max_examples // 50)

# --- What is typed --------------------------------------------------------------------------------

ODD_TEXTS = [
    *("", " ", "\x00", "a\x00b", "\x1b[31m", "\ud800", "a\udfff", "\ufffe", "\u202eabc", "\u2066x", "\u200b"),
    *("\ufeff", "\r\n", "a\nb", "\t", "\u202e" * 3, "\u0345" * 40),
    *("محمد", "שלום", "Zoe\u0308", "👩‍👩‍👧‍👦", "İıſK", "ﬃ"),
    *("x" * 256, "x" * 5001, "😀" * 2001, "é" * 70_000),
    *("<script>alert(1)</script>", "{{ 7 * 7 }}", "{% debug %}", "%s%n", "'; DROP TABLE x; --", "=1+1", "\\", '"'),
    *("../../etc/passwd", "//evil.example", "https://evil.example", "javascript:alert(1)", "[", "(?:", "null"),
]
ODD_NUMBERS = [
    *("0", "-0", "-1", "+1", "1.5", "1,5", "1_000", "1e400", "1e5", "1E-400", "NaN", "sNaN"),
    *("Infinity", "-Infinity", "１２", "٣", "Ⅷ", "²", "0x10", " 7 ", "−3", ".5", "5.", "1/2", "--1", "1e", "00"),
    *("2147483648", "9223372036854775808", "99999999999", "-99999999999", "0.001"),
    *("9" * 19, "9" * 400, "9" * 5000, "0" * 300 + "1"),
]
ODD_DATES = [
    *("0000-00-00", "0001-01-01", "9999-12-31", "2026-02-30", "10000-01-01", "-1-01-01", "2026-1-1", "٢٠٢٦-٠١-٠١"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00+24:00", "tomorrow", "25:61"),
]
ODD_IDS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "01939f2e", "{}"]
ANYTHING = st.one_of(
    st.sampled_from(ODD_TEXTS + ODD_NUMBERS + ODD_DATES + ODD_IDS),
    st.text(max_size=30),
    st.integers().map(str),
    st.decimals().map(str),
    st.dates().map(str),
)


@st.composite
def filled_in(draw: st.DrawFn, form: Form) -> Pairs:
    """A form as it is sent by who means no good, or holds the page upside down: with anything in one field or in
    all of them, or with some of them twice or left out."""
    pairs: Pairs = []
    chosen = draw(st.sampled_from([*range(len(form.fields)), None]))
    for at, one in enumerate(form.fields):
        if chosen in (at, None):
            texts = ANYTHING | st.sampled_from(one.choices) if one.choices else ANYTHING
            pairs += [(one.name, draw(texts)) for _ in range(draw(st.sampled_from([1, 1, 1, 0, 2])))]
        else:
            pairs += [(one.name, value) for value in one.values]
    if form.buttons and draw(st.booleans()):
        name, value = draw(st.sampled_from(form.buttons))
        pairs.append((name, draw(st.just(value) | ANYTHING)))
    return pairs


# --- Where it is typed ----------------------------------------------------------------------------


@dataclass
class BackOffice:
    """The browser of somebody who may do everything, the pages of a shop with one of everything, and the forms on
    them: one for each address in urls.py to which something is sent."""

    client: Client
    pages: list[Page]
    forms: dict[str, Form]

    def browser(self) -> Client:
        """Signed in, whatever became of the session by another form."""
        client = Client()
        client.cookies["sessionid"] = self.client.cookies["sessionid"].value
        return client


@pytest.fixture
def back_office(db: None, shop: Business) -> BackOffice:
    client = signed_in(shop, is_superuser=True)
    client.get(reverse("admin:index"), {"business": shop.slug})
    things = everything(shop)
    found = pages_at(client, to_look_at(shop, things))
    forms = forms_on(found)
    names = {one.name: one for form in forms.values() for one in form.fields if SHARED.fullmatch(one.name)}
    for address in to_press(things):  # what no page shows just now is sent all that any form sends
        forms.setdefault(route(address), Form("", address, "post", list(names.values())))
    return BackOffice(client, found, forms)


SHARED = re.compile("[a-z_]+")  # the name of a field that isn't of one row alone


def everything(shop: Business) -> dict[str, Any]:
    """One of everything of a shop, and orders of every status."""
    things = things_of(shop)
    mug = things["product_id"]
    receive_stock(
        business_id=shop.id, product_id=mug, quantity=99, reason="Delivery", actor=ACTOR, now=database_now()
    )
    return things | {"orders": [order_in(shop, status).id for status in Status if status != Status.CANCELLED]}


def to_look_at(shop: Business, things: dict[str, Any]) -> Iterator[str]:
    """The addresses of our pages, of the lists and of what they lead to."""
    yield reverse("admin:index")
    for name, keys in pages():
        if "GET" in STAFF[name]:
            yield reverse(f"staff:{name}", kwargs={key: things[key] for key in keys})
    for order_id in things["orders"]:
        yield reverse("staff:order", args=[order_id])
    for model, page in admin.site._registry.items():
        if not isinstance(page, ShopAdmin) and not LONG:
            continue  # what is of no business is for platform staff, and mostly not ours
        yield from (address_of(model, "changelist"), address_of(model, "add"))
        one = one_of(model, shop) if isinstance(page, ShopAdmin) else model._default_manager.first()
        if one is not None:
            yield address_of(model, "change", quote(one.pk))
    for name in IMPORTS:
        yield reverse(f"admin:{name}_import")


def to_press(things: dict[str, Any]) -> Iterator[str]:
    for name, keys in pages():
        if "POST" in STAFF[name]:
            yield reverse(f"staff:{name}", kwargs={key: things[key] for key in keys})


# --- What comes of it -----------------------------------------------------------------------------


def test_back_office_bears_whatever_is_sent_to_it(back_office: BackOffice) -> None:
    for form in back_office.forms.values():
        tried(filled_in(form), lambda pairs, form=form: send(back_office, form, pairs))
    every = sorted({name for page in back_office.pages for name in page.parameters})
    for page in back_office.pages:
        names = st.sampled_from(page.parameters or every) | ANYTHING
        queries = st.lists(st.tuples(names, ANYTHING), min_size=1, max_size=4)
        tried(queries, lambda pairs, page=page: ask(back_office, page, pairs))


def tried(what: st.SearchStrategy[Pairs], act: Callable[[Pairs], None]) -> None:
    """Do it with so many examples of what may be sent."""

    @OF_EACH
    @given(what)
    def once(pairs: Pairs) -> None:
        with transaction.atomic():
            act(pairs)
            transaction.set_rollback(True)

    once()


def send(back_office: BackOffice, form: Form, pairs: Pairs) -> None:
    answer = sent(back_office.browser(), form, pairs)
    assert says_what_came_of_it(answer, form), (form.action, pairs, answer.status_code)
    if answer.redirect_chain:  # it was done
        connection.check_constraints()
        assert findings() == [], (form.action, pairs)
        if form.page:
            assert back_office.browser().get(form.page).status_code in {200, *REFUSED}, (form.page, pairs)


def sent(browser: Client, form: Form, pairs: Pairs) -> Any:
    if not form.has_file:
        body = urlencode([(name, bytes_of(text)) for name, text in pairs])
        return browser.post(form.action, body, "application/x-www-form-urlencoded", follow=True)
    files = {one.name for one in form.fields if one.kind == "file"}
    parts: dict[str, list[Any]] = {}
    for name, text in pairs:
        part = bytes_of(text)
        parts.setdefault(name, []).append(SimpleUploadedFile("x.csv", part) if name in files else part)
    return browser.post(form.action, parts, follow=True)


def ask(back_office: BackOffice, page: Page, pairs: Pairs) -> None:
    query = urlencode([(bytes_of(name), bytes_of(text)) for name, text in pairs])
    answer = back_office.browser().get(f"{page.address}?{query}", follow=True)
    assert answer.status_code in {200, *REFUSED}, (page.address, pairs, answer.status_code)


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def says_what_came_of_it(answer: Any, form: Form) -> bool:
    """Whether it was done, or a page says what was wrong; of a form that none shows, whether there is a page."""
    if answer.status_code != 200:
        return answer.status_code in REFUSED
    page = answer.content.decode()
    return bool(answer.redirect_chain) or not form.page or any(sign in page for sign in SAYS_SO)


REFUSED = {400, 403, 404, 405, 409, 413, 429}
# A mark of what is wrong; a list that comes again, for nothing on it was chosen; a key that is shown this once.
SAYS_SO = ('role="alert"', 'aria-invalid="true"', "errornote", "errorlist", 'id="changelist"', 'class="hf-once"')


def test_schedule_that_celery_can_not_read_is_refused(db: None, shop: Business) -> None:
    """Its library's own page lets it through, and then fails."""
    client = signed_in(shop, is_superuser=True)
    times = {"minute": "-1", "hour": "*", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    page = client.post("/admin/django_celery_beat/crontabschedule/add/", {**times, "timezone": "UTC"})
    assert "This is no schedule" in page.content.decode()
