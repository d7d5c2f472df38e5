import csv
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.models import Business
from orders import importing
from orders.importing import Reject
from orders_project.clock import database_now
from orders_project.errors import DomainError

WIDTH = 40  # of the bar, in characters


class Command(BaseCommand):
    help = (
        "Import the orders of another system from a CSV file, with their products, customers and refunds. "
        "Each order is placed and paid at its own date, by the same rules as any other. What can't become a "
        "part of an order is counted by reason, and listed with --rejects. Run again, it adds only what is new; "
        "after an interruption it goes on where it stopped. docs/import.md tells the rules."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            type=Path,
            help=f"CSV in UTF-8 whose first line names the columns {', '.join(importing.COLUMNS)}.",
        )
        parser.add_argument(
            "--business", metavar="SLUG", required=True, help="The business whose orders these are."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")
        parser.add_argument(
            "--rejects",
            metavar="FILE",
            type=Path,
            help="Write the lines that are not imported to this CSV file, with their numbers and reasons.",
        )

    def handle(self, *, file: Path, business: str, dry_run: bool, rejects: Path | None, **options: Any) -> None:
        shop = Business.objects.filter(slug=business).first()
        if shop is None:
            raise CommandError(f"There is no business “{business}”.")
        if rejects and rejects.exists() and file.exists() and rejects.samefile(file):
            raise CommandError("The rejects would overwrite the file itself.")
        now = database_now()
        try:
            plan = importing.prepare(business=shop, path=file, now=now)
            _write(rejects, plan.rejects)  # first, for where it can't be written nothing should be done
            if dry_run:
                done = importing.foresee(business=shop, plan=plan)
            else:
                progress = _progress(of=len(plan.sales) + len(plan.cancellations))
                done = importing.load(business=shop, plan=plan, now=now, progress=progress)
                _write(rejects, done.rejects)
        except (importing.NotReadable, DomainError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{'Would import' if dry_run else 'Imported'} {done.orders:,} orders, {done.products:,} products "
            f"and {done.refunds:,} refunds, which cancelled {done.cancelled:,} orders."
        )
        if done.rejects:
            self.stdout.write(f"Lines that are no part of any order: {len(done.rejects):,}")
        for reason, count in Counter(reject.reason for reject in done.rejects).most_common():
            self.stdout.write(f"{count:7,}  {reason}")


def _write(path: Path | None, rejects: Sequence[Reject]) -> None:
    if path is None:
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["line", "reason", "text"])
            table.writerows((reject.line, reject.reason, reject.text) for reject in rejects)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}.") from error


def _progress(*, of: int) -> Callable[[int], None]:
    """A bar on the terminal; nothing where there is none. The function that it returns is told of progress."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if of and sys.stderr.isatty():
            bar = "━" * (WIDTH * done // of)
            print(f"\r{bar:<{WIDTH}} {done:,} of {of:,}", end="\n" * (done == of), file=sys.stderr, flush=True)

    advance(0)
    return advance
