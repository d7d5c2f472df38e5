"""What the load generators say is read right, and the page shows it. Nothing is measured here."""

import pytest

from benchmarks.load import Load, pgbench_said, wrk_said
from benchmarks.report import chart, document, said
from benchmarks.stack import Failed
from benchmarks.table import Figure, Result, row

WRK = """\
Running 2s test @ http://127.0.0.1:8000/api/v1/orders
  2 threads and 64 connections
  6000 requests in 2.00s, 5.00MB read
{"answers": 6000, "microseconds": 2000000, "refused": %d, "broken": 0, "p50": 19500, "p99": 41250}
"""
PGBENCH = """\
number of transactions actually processed: 3701
number of failed transactions: 0 (0.000%)
latency average = 13.038 ms
initial connection time = 22.034 ms
tps = 1227.124563 (without initial connection time)
"""


def test_wrk_is_read() -> None:
    load = wrk_said(WRK % 0)
    assert load == Load(answers=6000, seconds=2.0, p50=19.5, p99=41.25)
    assert load.rate == 3000


def test_a_refusal_throws_the_figure_away() -> None:
    with pytest.raises(Failed, match="1 refusals"):
        wrk_said(WRK % 1)


def test_pgbench_is_read() -> None:
    load = pgbench_said(PGBENCH)
    assert (load.answers, load.rate, load.p50) == (3701, pytest.approx(1227.124563), 13.038)


@pytest.fixture
def results() -> list[Result]:
    """A row that was measured, with targets reached and missed, and one whose figures were thrown away."""
    one = row("1", "Orders placed", bound="The CPU.", needed="Less\n        Python.")(list)
    figures = (
        Figure("orders", 3000.4, "orders/s", "pgbench 2,000", aim=10_000),
        Figure("over pgbench", 1.5, "×", target=1.3, aim=4),
        Figure("p99", 41.25, "ms", target=20, less=True),
    )
    return [Result(one, figures), Result(row("2", "Hot", bound="A row.")(list), thrown_away="I1 is broken")]


def test_the_terminal_shows_what_is_reached(results: list[Result]) -> None:
    measured, thrown_away = map(said, results)
    assert "3,000 orders/s  orders (pgbench 2,000) aim ≥ 10,000 ✗" in measured
    assert "1.50 ×  over pgbench target ≥ 1.3 ✓ aim ≥ 4 ✗" in measured
    assert "41.2 ms  p99 target ≤ 20 ✗" in measured
    assert "thrown away: I1 is broken" in thrown_away


def test_a_bar_reaches_the_mark_with_the_target(results: list[Result]) -> None:
    head, reached, missed = chart(results).splitlines()
    mark = head.index("▾")
    assert reached.rindex("█") >= mark
    assert missed.rindex("█") < mark


def test_the_page_has_each_figure_and_its_words(results: list[Result]) -> None:
    page = document(results, results[:1], minutes=9.6)
    assert "| 1 | over pgbench | 1.50 × |  | ≥ 1.3 | ✓ | ≥ 4 | ✗ |" in page
    assert "| 2 | thrown away: I1 is broken |" in page
    assert "**1. Orders placed.** The CPU. For the aim: Less Python." in page
    assert "in 10 minutes" in page
