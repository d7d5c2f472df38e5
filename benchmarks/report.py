"""Figures as people read them: on the terminal, and in docs/performance.md."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import ROUNDS, SECONDS
from benchmarks.table import Figure, Result
from orders_project.local import servers

DOCUMENT = servers.PROJECT / "docs" / "performance.md"
BAR = 30  # characters up to the target; a bar ends at twice that


def said(result: Result) -> str:
    """A row and its figures, for the terminal."""
    lines = [f"{result.row.name}. {result.row.title}"]
    for figure in result.figures:
        parts = [f"{_amount(figure):>20} ", figure.what]
        if figure.beside:
            parts.append(f"({figure.beside})")
        for word, wanted in (("target", figure.target), ("aim", figure.aim)):
            if wanted is not None:
                parts += [word, *_goal(figure, wanted)]
        lines.append(" ".join(parts))
    if result.thrown_away:
        lines.append(f"   thrown away: {result.thrown_away}")
    return "\n".join(lines)


def chart(results: Sequence[Result]) -> str:
    """A bar for each figure that has a target (no text if none has); it reaches the mark when that is reached."""
    aimed = [(result.row, figure) for result in results for figure in result.figures if figure.target is not None]
    if not aimed:
        return ""
    width = max(len(f"{row.name}  {figure.what}") for row, figure in aimed)
    lines = [f"{'':{width}}  {'':{BAR}}▾ target"]
    for row, figure in aimed:
        full = min(round(BAR * figure.share_of_target()), 2 * BAR)
        lines.append(f"{f'{row.name}  {figure.what}':{width}}  {'█' * full or '▏'}  {_amount(figure)}")
    return "\n".join(lines)


def document(targets: Sequence[Result], growth: Sequence[Result], *, minutes: float) -> str:
    """All of docs/performance.md. `minutes` is how long the run took."""
    return f"""# Performance

Measured by `make bench` on {datetime.now(UTC):%-d %B %Y}, in {minutes:.0f} minutes. PostgreSQL and Valkey, durable
(`fsync` and `synchronous_commit` on), web, worker and beat as `make run` starts them, and the clients were all on
one machine:

{_machine()}

The figures are this machine's, which others share: they come and go by some tens of percent. So they are
medians of {ROUNDS} runs of {SECONDS} seconds, what is compared was run in turn, and ratios say more than numbers.
Clients ask again when they are answered (wrk, 64 connections unless it says otherwise). Each order has the full
contract: a key of the API, validation, an Idempotency-Key and an external_id of its own (so the same goods of one
buyer are no double click), prices from the catalog, its customer (1 in 5 new), hold, ledger and event. The keys
aren't throttled. After each run the rows in the database are counted against the answers, and `verify_stock` asks
whether every invariant holds; a figure that fails is thrown away.

To repeat it: `make bench`. `make bench ROWS="1 2"` measures single rows and leaves this page alone.

## Targets

```
{chart(targets)}
```

{_table(targets)}

{_words(targets)}

## How the cost grows

{_table(growth)}

{_words(growth)}
"""


def _table(results: Sequence[Result]) -> str:
    lines = ["| | | measured | beside it | target | | aim | |", "|---|---|---:|---|---:|---|---:|---|"]
    for result in results:
        for figure in result.figures:
            target, aim = _goal(figure, figure.target), _goal(figure, figure.aim)
            cells = [result.row.name, figure.what, _amount(figure), figure.beside, *target, *aim]
            lines.append(f"| {' | '.join(cells)} |")
        if result.thrown_away:
            lines.append(f"| {result.row.name} | thrown away: {result.thrown_away} | | | | | | |")
    return "\n".join(lines)


def _words(results: Sequence[Result]) -> str:
    """Of each row what it is, what bounds it, and what the aim needs."""
    paragraphs = []
    for row in (result.row for result in results):
        aim = f" For the aim: {row.needed}" if row.needed else ""
        paragraphs.append(f"**{row.name}. {row.title}.** {row.bound}{aim}")
    return "\n\n".join(paragraphs)


def _amount(figure: Figure) -> str:
    """Three digits are more than these figures are worth already."""
    if figure.unit == "×":
        return f"{figure.value:.2f} ×"
    decimals = 0 if figure.value >= 100 else 1
    return f"{figure.value:,.{decimals}f} {figure.unit}"


def _goal(figure: Figure, wanted: float | None) -> tuple[str, str]:
    """Two cells of the table: what is wanted, and whether it is reached."""
    if wanted is None:
        return "", ""
    return f"{'≤' if figure.less else '≥'} {wanted:,g}", "✓" if figure.reaches(wanted) else "✗"


def _machine() -> str:
    """The machine and the servers, as a list."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "\n".join(
        [
            f"- {os.cpu_count()} cores, {cpu[1] if cpu else platform.machine()}, {memory:.0f} GB of memory",
            f"- Python {platform.python_version()}, {_version(servers.Postgres(servers.VAR), 'postgres')}, "
            f"{_version(servers.Valkey(servers.VAR), 'valkey-server')}",
        ]
    )


def _version(server: servers.Server, program: str) -> str:
    said = subprocess.run(
        [str(server.binary(program)), "--version"], stdout=subprocess.PIPE, text=True, check=True
    )
    number = re.search(r"\d+\.[\d.]+", said.stdout)
    return f"{type(server).__name__} {number[0] if number else 'of unknown version'}"
