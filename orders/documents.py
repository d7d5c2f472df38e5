"""Packing slips and invoices, as PDF: plain, printable, in the business's name, currency and time zone.

Set in DejaVu Sans (orders/fonts): Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic, the signs of
currencies. It has no Chinese, Japanese, Korean, Thai or Indian script, and few emoji: a character that it hasn't
is printed as a box.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from unicodedata import bidirectional
from zoneinfo import ZoneInfo

from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout
from fpdf.fonts import FontFace, TTFFont

from catalog.models import Business
from catalog.shop import logo_of
from catalog.wording import grouped, price
from orders.lifecycle import Status
from orders.models import Payment
from orders.summary import Summary

FONTS = Path(__file__).with_name("fonts")

MARGIN = 18  # mm, as all lengths here
LOGO_HEIGHT = 16
LINE = 5.2
INK, QUIET = 25, 105  # greys
TEXT, SMALL, TITLE = 9.5, 8.5, 18  # points


class Kind(StrEnum):
    """A paper that goes with an order."""

    PACKING_SLIP = "packing_slip"
    INVOICE = "invoice"


def print_orders(kind: Kind, business: Business, orders: Sequence[Summary], *, now: datetime) -> bytes:
    """A PDF with a paper for each order, which begins on a page of its own."""
    papers = _Papers(kind, business, logo_of(business), now)
    for order in orders:
        papers.add(order)
    return bytes(papers.output())


class _Papers(FPDF):
    """The pages, and what stands on each of them."""

    def __init__(self, kind: Kind, business: Business, logo: bytes | None, now: datetime) -> None:
        super().__init__(format="A4")
        self.kind = kind
        self.business = business
        self.logo = logo
        self.zone = ZoneInfo(business.time_zone)
        self.number = ""  # of the order whose pages are being made
        self.first_page = 0
        self.title_words = {Kind.PACKING_SLIP: "Packing slip", Kind.INVOICE: "Invoice"}[kind]
        self.set_title(f"{self.title_words}s" if kind == Kind.INVOICE else "Packing slips")
        self.set_author(business.name)
        self.set_creation_date(now)
        self.set_lang("en")
        self.add_font("Sans", "", FONTS / "DejaVuSans.ttf")
        self.add_font("Sans", "B", FONTS / "DejaVuSans-Bold.ttf")
        self.drawn = set.intersection(
            *(set(font.cmap) for font in self.fonts.values() if isinstance(font, TTFFont))
        )
        self.alias_nb_pages("")  # a name with {nb} in it stays as it is
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 6)

    def footer(self) -> None:
        """Which page of which order this is."""
        self.set_y(-MARGIN)
        self._pen(SMALL, QUIET)
        of_order = f"{self.business.name}, {self.title_words.lower()} {self.number}"
        self.cell(w=self.epw / 2, text=self._in_font(of_order))
        self.cell(w=self.epw / 2, text=f"Page {self.page_no() - self.first_page + 1}", align=Align.R)

    def add(self, order: Summary) -> None:
        """The paper of one order."""
        self.add_page()  # which ends the one before it, still with that order's number
        # Letters that run from the right, and join, are set by HarfBuzz; all others faster without.
        said = [self.business.name, order.order.customer.name, *order.address, order.order.note]
        said += [item.name for item in order.items]
        self.set_text_shaping(any(bidirectional(char) in ("R", "AL") for char in "".join(said)))
        self.number = order.order.number
        self.first_page = self.page_no()
        self._head(order)
        if self.kind == Kind.INVOICE:
            self._priced_items(order)
            self._sums(order)
            self._money(order)
        else:
            self._items_to_pack(order)
            self._said_with_it(order)

    # --- What a paper is made of ---------------------------------------------------------------

    def _head(self, order: Summary) -> None:
        top = self.get_y()
        if self.logo:
            width = self.epw / 2
            self.image(BytesIO(self.logo), x=Align.R, y=top, w=width, h=LOGO_HEIGHT, keep_aspect_ratio=True)
            self.set_y(top)
        self._pen(TITLE, INK, bold=True)
        self._lines(self.title_words, height=9)
        self._pen(TEXT + 1, INK, bold=True)
        self._lines(self.business.name)
        self.set_y(max(self.get_y(), top + LOGO_HEIGHT) + 6)

        top, half = self.get_y(), self.epw / 2
        made, address = order.order, order.address
        if "name" not in (made.shipping_address or {}):
            address = [made.customer.name, *address]
        self._block("Send to", address, width=half - 6)
        below = self.get_y()
        self.set_xy(self.l_margin + half, top)
        facts = [made.number, f"{self._day(made.placed_at or made.created_at)}, {made.get_channel_display()}"]
        if made.customer.name not in address:
            facts.append(f"by {made.customer.name}")
        if order.shipment:
            facts.append(f"sent with {order.shipment.carrier}, {order.shipment.tracking_number}")
        self._block("Order", facts, width=half)
        self.set_xy(self.l_margin, max(below, self.get_y()) + 6)

    def _items_to_pack(self, order: Summary) -> None:
        rows = [(grouped(item.quantity), item.sku, item.name, "☐") for item in order.items]
        self._table(("Units", "SKU", "Product", "Packed"), rows, widths=(12, 28, 78, 14), aligned="RLLC")
        self._pen(TEXT, INK, bold=True)
        units = sum(item.quantity for item in order.items)
        self._lines(f"{grouped(units)} unit{'' if units == 1 else 's'} in all")

    def _priced_items(self, order: Summary) -> None:
        rows = [
            (
                item.sku,
                item.name,
                grouped(item.quantity),
                price(item.unit_price, item.currency),
                price(item.line_total, item.currency),
            )
            for item in order.items
        ]
        headings = ("SKU", "Product", "Units", "Price", "Amount")
        self._table(headings, rows, widths=(24, 62, 14, 26, 28), aligned="LLRRR")

    def _sums(self, order: Summary) -> None:
        """What it comes to, at the right margin; all of it on one page."""
        made = order.order
        sums: list[tuple[str, Decimal, bool]] = [
            ("Goods", made.subtotal, False),
            ("Shipping", made.shipping_fee, False),
            ("Discount", -made.discount, False),
            ("Total", made.total, True),
            ("Paid", order.paid, False),
            ("Refunded", -order.refunded, False),
            ("To pay", order.to_pay, True),
            ("To be refunded", order.to_refund, True),
        ]
        if self.will_page_break(len(sums) * LINE):
            self.add_page()
        for words, amount, bold in sums:
            if amount or words == "Total":
                self._pen(TEXT, INK, bold=bold)
                self.cell(w=self.epw - 40, h=LINE, text=words, align=Align.R)
                self.cell(w=40, h=LINE, text=price(amount, made.currency), align=Align.R)
                self.ln()

    def _money(self, order: Summary) -> None:
        """When money moved, and what that leaves."""
        words = {Payment.Kind.CAPTURE: "Paid", Payment.Kind.REFUND: "Refunded"}
        lines = [
            f"{words[Payment.Kind(payment.kind)]} {price(payment.amount, payment.currency)} on "
            f"{self._day(payment.at)} by {payment.provider}, {payment.reference}"
            for payment in order.payments
        ]
        if order.order.status == Status.CANCELLED:
            lines.append(f"Cancelled on {self._day(order.order.cancelled_at)}.")
        elif order.order.status == Status.DRAFT:
            lines.append("A draft: nothing was ordered yet.")
        elif order.to_pay:
            lines.append("Not paid yet.")
        self.ln(4)
        self._block("Payment", lines, width=self.epw)

    def _said_with_it(self, order: Summary) -> None:
        if order.order.note:
            self.ln(4)
            self._block("Said with the order", order.order.note.splitlines(), width=self.epw)

    # --- How it is set -------------------------------------------------------------------------

    def _pen(self, size: float, grey: int, *, bold: bool = False) -> None:
        self.set_font("Sans", "B" if bold else "", size)
        self.set_text_color(grey)

    def _lines(self, text: str, *, width: float = 0, height: float = LINE) -> None:
        self.multi_cell(w=width, h=height, text=self._in_font(text), align=Align.L, new_x="LEFT", new_y="NEXT")

    def _block(self, heading: str, lines: Sequence[str], *, width: float) -> None:
        self._pen(SMALL, QUIET)
        self._lines(heading, width=width)
        self._pen(TEXT, INK)
        self._lines("\n".join(lines), width=width)

    def _table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, widths: Sequence[float], aligned: str
    ) -> None:
        """A table whose headings come again on each page."""
        self._pen(TEXT, INK)
        self.set_draw_color(200)
        with self.table(
            [headings, *(tuple(map(self._in_font, row)) for row in rows)],
            col_widths=widths,
            text_align=tuple(aligned),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(emphasis="BOLD", color=QUIET, size_pt=SMALL),
            line_height=LINE,
            padding=(1, 1.5),
            v_align="TOP",
        ):
            pass
        self.ln(3)

    def _in_font(self, text: str) -> str:
        """The text with a box for each character that the font hasn't, which would be left out else."""
        return "".join(char if char == "\n" or ord(char) in self.drawn else "□" for char in text)

    def _day(self, instant: datetime | None) -> str:
        return f"{instant.astimezone(self.zone):%-d %B %Y}" if instant else ""
