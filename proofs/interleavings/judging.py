"""What a schedule of two acts may come to: what one of them after the other comes to, and little else."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement

from orders import services
from orders.invariants import INVARIANTS, findings, short_name
from orders.reconciliation import reconcile
from orders_project import transactions
from proofs.interleavings.acts import ACTS, Shop
from proofs.interleavings.explorer import NAMES, Explorer, Schedule

PAIRS = ["|".join(pair) for pair in combinations_with_replacement(ACTS, 2)]

# All but those that ask how late it is: in the shop it is always the same hour.
RULES = {short_name(name) for name in INVARIANTS} - {"I5", "I5b"}

# Who may be refused, having changed nothing, what they would have been given before the other one and after.
# For "place all" units are coming back at this very moment. Whoever gives them back has the hold and waits for the
# shelf; so who has the shelf doesn't wait for the hold, or the two would wait for each other.
REFUSED_TOO_SOON = {"place all": "insufficient_stock"}

TOO_SOON = "too soon"
# Schedules of one pair. Only two reconciliations at once have more, for nearly every statement of the one meets
# every one of the other; the job that runs them runs once at a time.
MOST = 1000

State = tuple[str, ...]
Act = Callable[[], object]


@dataclass
class Verdict:
    """What came of the schedules of a pair: how many came to what it would be with the one first, or the other;
    and how many to neither, for somebody was REFUSED_TOO_SOON."""

    pair: str
    steps: tuple[int, ...]  # of each, when the first one goes first
    walked: int = 0
    cut_short: bool = False  # there are more schedules than MOST
    stands_for: int = 0
    waited: int = 0  # schedules in which somebody waited for a lock
    came_to: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, ...]] = field(default_factory=Counter)
    broken: str = ""


class Meeting:
    """Two acts that meet in a shop."""

    def __init__(self, pair: str, explorer: Explorer) -> None:
        transactions.LONGEST_PAUSE = 0  # between two tries
        self.pair = pair
        self._names = pair.split("|")
        self.shop = Shop(self._names)
        self._explorer = explorer
        self._acts: list[Act] = [
            partial(ACTS[name], self.shop, bool(place)) for place, name in enumerate(self._names)
        ]
        first, second = ((self.replay(name), self._state()) for name in NAMES)
        self._steps = tuple(map(len, first[0].needs))
        self._in_turn = [(schedule.answers, state) for schedule, state in (first, second)]
        self._without = [
            self._state_after([_nothing, self._acts[1]]),
            self._state_after([self._acts[0], _nothing]),
        ]

    def replay(self, order: str) -> Schedule:
        """One schedule, such as AABAB."""
        return self._explorer.replay(self._acts, self.shop.put_back, order)

    def walk(self) -> Verdict:
        """All schedules, or MOST of them, up to the first one that breaks a promise."""
        verdict = Verdict(self.pair, self._steps)
        for schedule in self._explorer.walk(self._acts, self.shop.put_back):
            if verdict.walked == MOST:
                verdict.cut_short = True
                break
            verdict.walked += 1
            verdict.stands_for += schedule.stands_for
            verdict.waited += any(step.freed_after for step in schedule.steps)
            verdict.answers[schedule.answers] += 1
            state = self._state()
            came_to = self._same_as(schedule, state)
            verdict.came_to[came_to] += 1
            if broken := list(self._broken(schedule, state, came_to)):
                verdict.broken = "\n".join([f"{self.pair} {schedule.order}", *map(str, schedule.steps), *broken])
                break
        return verdict

    def _same_as(self, schedule: Schedule, state: State) -> str:
        """Who came first, as it were: A, B or AB; else that somebody was refused too soon, or nothing."""
        first = "".join(
            name
            for name, in_turn in zip(NAMES, self._in_turn, strict=True)
            if in_turn == (schedule.answers, state)
        )
        return first or TOO_SOON * self._is_too_soon(schedule, state)

    def _broken(self, schedule: Schedule, state: State, came_to: str) -> Iterator[str]:
        """The promises that a schedule broke."""
        if not came_to:
            yield f"Neither order of the two comes to this: {', '.join(schedule.answers)}"
            for _, other in self._in_turn:
                yield f"  {sorted(set(state) - set(other))} instead of {sorted(set(other) - set(state))}"
        if any(step.gave_up for step in schedule.steps):
            yield "They waited for each other, and one had to give up."
        for finding in findings(business_id=self.shop.business.id, rules=RULES):
            yield f"{finding.invariant}: {finding.found}"

    def _is_too_soon(self, schedule: Schedule, state: State) -> bool:
        return any(
            REFUSED_TOO_SOON.get(name) == answer and state == without
            for name, answer, without in zip(self._names, schedule.answers, self._without, strict=True)
        )

    def _state_after(self, acts: Sequence[Act]) -> State:
        self._explorer.replay(acts, self.shop.put_back, "")
        return self._state()

    def _state(self) -> State:
        """How the shop stands. What a job passed over, or saw when it was over, is the next one's; so that comes
        first."""
        if "expire" in self._names:
            services.expire_due(business_id=self.shop.business.id, now=self.shop.due)
        if "reconcile" in self._names:
            reconcile(business_id=self.shop.business.id, now=self.shop.due)
        return self.shop.state()


def _nothing() -> str:
    return ""
