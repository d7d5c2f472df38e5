"""A run through the table, or through some of its rows."""

import sys
import time
from collections.abc import Collection
from contextlib import redirect_stdout

from benchmarks import report
from benchmarks.load import need_wrk
from benchmarks.rows import GROWTH, TARGETS
from benchmarks.stack import Failed
from benchmarks.table import Result, Row
from orders_project.local.run import CannotRun
from orders_project.local.servers import ServerError


def run(names: Collection[str]) -> int:
    """Measure the rows of these names, or all, and say what came out; for all of them write docs/performance.md.

    Returns the exit status: 1 if a figure had to be thrown away, or a row is unknown.
    """
    table = TARGETS + GROWTH
    if unknown := set(names) - {row.name for row in table}:
        print(f"No such rows: {', '.join(unknown)}. There are {', '.join(row.name for row in table)}.")
        return 1
    need_wrk()
    begun, results = time.monotonic(), []
    for row in table:
        if not names or row.name in names:
            results.append(_result_of(row))
            print(report.said(results[-1]), flush=True)
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{report.chart(results)}\n{minutes:.1f} minutes")
    if not names:
        report.DOCUMENT.write_text(
            report.document(results[: len(TARGETS)], results[len(TARGETS) :], minutes=minutes), encoding="utf-8"
        )
    return int(any(result.thrown_away for result in results))


def _result_of(row: Row) -> Result:
    try:
        with redirect_stdout(sys.stderr):  # what the programs say; stdout is for figures
            return Result(row, tuple(row.measure()))
    except (Failed, CannotRun, ServerError) as failure:
        return Result(row, thrown_away=str(failure))
