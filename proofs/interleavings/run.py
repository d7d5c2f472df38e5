"""A run through all pairs, or some of them, and its table."""

import logging
import time
from collections.abc import Collection

from django.core.management import call_command

from proofs.interleavings.acts import ACTS
from proofs.interleavings.explorer import NAMES, Explorer, Unsteady
from proofs.interleavings.judging import PAIRS, TOO_SOON, Meeting, Verdict

LEGEND = """\
steps       of each of the two, when the first goes first
walked      schedules that were run; +: there are more
stand for   schedules there are, with those that differ from a walked one only in the order of steps that
            can't feel each other
waited      walked ones in which somebody waited for a lock
A, B, AB    walked ones that came to what it is when the first goes first, when the second does, or to both
soon        walked ones in which somebody was refused what came free at that moment
"""
COLUMNS = "{:<24}{:>7}{:>7}{:>20}{:>7}{:>5}{:>5}{:>5}{:>5}   {}"


def run(pairs: Collection[str]) -> int:
    """Walk all schedules of these pairs, or of all, and say what came out. Returns the exit status: 1 if a promise
    was broken, or a pair is unknown."""
    if not _are_there(pairs):
        return 1
    explorer = _explorer()
    begun, verdicts = time.monotonic(), []
    headings = ("pair", "steps", "walked", "stand for", "waited", "A", "B", "AB", "soon", "answers")
    print(LEGEND, COLUMNS.format(*headings), sep="\n")
    for pair in pairs or PAIRS:
        verdicts.append(Meeting(pair, explorer).walk())
        print(_said(verdicts[-1]), flush=True)
    explorer.end()
    broken = sum(bool(verdict.broken) for verdict in verdicts)
    walked, stand_for, waited = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("walked", "stands_for", "waited")
    )
    print(
        f"\n{len(verdicts)} pairs: {walked:,} schedules walked, which stand for {stand_for:,}; in {waited:,} "
        f"somebody waited for a lock. {broken or 'None'} of the pairs broke a promise. "
        f"{time.monotonic() - begun:.0f} seconds."
    )
    return int(broken > 0)


def replay(said: str) -> int:
    """Show one schedule, as it is printed when it breaks a promise: the pair, and who goes at each step. Returns
    the exit status: 1 if there is no such schedule."""
    pair, _, order = said.rpartition(" ")
    if set(order) - set(NAMES):
        print(f"After the pair comes who goes at each step, {' or '.join(NAMES)}: such as “pay|expire AABAB”.")
        return 1
    if not _are_there([pair]):
        return 1
    explorer = _explorer()
    try:
        schedule = Meeting(pair, explorer).replay(order)
    except Unsteady as why:
        print(f"There is no such schedule: {why}")
        return 1
    explorer.end()
    print(*schedule.steps, f"answers: {', '.join(schedule.answers)}", sep="\n")
    return 0


def _are_there(pairs: Collection[str]) -> bool:
    if unknown := set(pairs) - set(PAIRS):
        print(f"No such pair: {', '.join(unknown)}. A pair is two of these, in this order, with | between them:")
        print(f"{', '.join(ACTS)}.")
    return not unknown


def _explorer() -> Explorer:
    logging.disable()  # what a job says of an order that it couldn't expire, is told by the schedule
    call_command("migrate", verbosity=0)
    return Explorer()


def _said(verdict: Verdict) -> str:
    line = COLUMNS.format(
        verdict.pair,
        "×".join(map(str, verdict.steps)),
        f"{verdict.walked:,}{'+' * verdict.cut_short}",
        f"{verdict.stands_for:,}",
        f"{verdict.waited:,}",
        *(verdict.came_to[name] or "" for name in ("A", "B", "AB", TOO_SOON)),
        "; ".join(f"{', '.join(answers)}: {times}" for answers, times in verdict.answers.most_common()),
    )
    return line + f"\n\n{verdict.broken}\n" * bool(verdict.broken)
