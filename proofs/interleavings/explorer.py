"""Walks every schedule of two acts: one step at a time, of the one or of the other.

A step that waits for a lock is known by what the server says of it; it is not gone on with until it comes back by
itself. So a schedule is walked in every order that locks allow, and in no other. Steps that can't feel each other
(`touching`) may change places: of the schedules that differ in nothing else one is walked, and the others are
counted. Which ones those are is found by dynamic partial-order reduction (Flanagan and Godefroid 2005) with sleep
sets (Godefroid 1996): wherever two steps of a schedule met, one is walked in which they met the other way round.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connection

from proofs.interleavings.actor import Actor
from proofs.interleavings.touching import FELT, Touch

NAMES = "AB"
PATIENCE = 60  # seconds that a step may take
SOON = 0.002  # seconds that most steps take; after that the server is asked whether they wait


class Unsteady(Exception):
    """The same steps came to something else than before, so nothing is known of the schedules."""


@dataclass(slots=True)
class Step:
    """A step of one of the two; if it waited, how many steps the other one had made when it came back."""

    actor: int
    sql: str
    touch: Touch
    freed_after: int = 0
    gave_up: bool = False

    def __str__(self) -> str:
        words = " ".join(self.sql.split())
        notes = "  (waits)" * bool(self.freed_after) + "  (gives up)" * self.gave_up
        return f"{NAMES[self.actor]}  {words[:120]}{'…' if len(words) > 120 else ''}{notes}"


@dataclass
class Schedule:
    """What was done step by step, and what each of the two was answered."""

    steps: list[Step] = field(default_factory=list)
    answers: tuple[str, ...] = ()  # none if it was not walked to its end, for there is nothing new

    @property
    def order(self) -> str:
        return "".join(NAMES[step.actor] for step in self.steps)

    @cached_property
    def needs(self) -> tuple[list[int], list[int]]:
        """Of each step of each of the two, how many steps of the other one must have come before it."""
        needs: tuple[list[int], list[int]] = ([], [])
        for _, step, after, _ in self._met():
            needs[step.actor].append(after)
        return needs

    def races(self) -> Iterator[tuple[int, int]]:
        """Where the other one could have gone first, and it would have mattered: the place in the schedule, and
        who could have."""
        for _, step, _, race in self._met():
            if race is not None:
                yield race, step.actor

    def _met(self) -> Iterator[tuple[int, Step, int, int | None]]:
        """Each step with its place, how many steps of the other one come before it for certain, and the place of
        the last one that it met, if nothing else had them in this order."""
        places: tuple[list[int], list[int]] = ([], [])
        certain = [0, 0]
        for place, step in enumerate(self.steps):
            others = places[1 - step.actor]
            met = [
                number
                for number in range(certain[step.actor], len(others))
                if self.steps[others[number]].touch.meets(step.touch)
            ]
            if met:
                certain[step.actor] = met[-1] + 1
            yield place, step, certain[step.actor], others[met[-1]] if met else None
            certain[step.actor] = max(certain[step.actor], step.freed_after)
            places[step.actor].append(place)

    @property
    def stands_for(self) -> int:
        """How many schedules there are that differ from this one only by steps that can't feel each other."""
        first, second = self.needs
        ways = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for a in range(len(first) + 1):
            for b in range(len(second) + 1):
                by_first = ways[a - 1][b] if a and b >= first[a - 1] else 0
                by_second = ways[a][b - 1] if b and a >= second[b - 1] else 0
                ways[a][b] = by_first + by_second or int(a == b == 0)
        return ways[-1][-1]


@dataclass
class Choice:
    """Who goes at one place of a schedule; who should be tried there too, and whose step from there is known to
    lead to nothing new."""

    chosen: int
    asleep: dict[int, Touch]
    to_try: set[int] = field(default_factory=set)


class Explorer:
    """Two actors. With `reduced` off all steps are taken to feel each other, and every schedule is walked."""

    def __init__(self, *, reduced: bool = True) -> None:
        self.reduced = reduced
        self._news: SimpleQueue[Actor] = SimpleQueue()
        self._actors = (Actor(self._news), Actor(self._news))
        for _ in self._actors:
            self._news.get(timeout=PATIENCE)  # they are there

    def end(self) -> None:
        for actor in self._actors:
            actor.end()

    def walk(self, acts: Sequence[Callable[[], Any]], set_up: Callable[[], None]) -> Iterator[Schedule]:
        """Every schedule of two acts, the one after the other first; `set_up` puts all as it was before them.

        Raises Unsteady.
        """
        path: list[Choice] = []
        while True:
            set_up()
            schedule = self._run(acts, path)
            if schedule.answers:
                yield schedule
            for place, actor in schedule.races():
                path[place].to_try.add(actor)
            while path:
                choice = path[-1]
                choice.asleep[choice.chosen] = schedule.steps[len(path) - 1].touch
                if left := choice.to_try - choice.asleep.keys():
                    choice.chosen = left.pop()
                    break
                path.pop()
            else:
                return

    def replay(self, acts: Sequence[Callable[[], Any]], set_up: Callable[[], None], order: str) -> Schedule:
        """One schedule: who goes at each step, such as ABBA; then on with the same one, as long as they can."""
        set_up()
        return self._run(acts, [Choice(NAMES.index(name), {}) for name in order])

    def _run(self, acts: Sequence[Callable[[], Any]], path: list[Choice]) -> Schedule:
        """Go along a path to its end and on from there, making it longer."""
        schedule = Schedule()
        for actor, act in zip(self._actors, acts, strict=True):
            actor.begin(act)
        self._settle()
        while standing := [number for number, actor in enumerate(self._actors) if actor.stop]:
            if len(schedule.steps) == len(path):
                choice = _go_on_from(path, schedule, standing)
                if choice is None:
                    self._abandon()
                    return schedule
                path.append(choice)
            chosen = path[len(schedule.steps)].chosen
            if chosen not in standing:
                raise Unsteady(f"{NAMES[chosen]} can't go on after {schedule.order}.")
            self._let(chosen, schedule)
        schedule.answers = tuple(actor.answer or "" for actor in self._actors)
        return schedule

    def _let(self, number: int, schedule: Schedule) -> None:
        """Let one of the two make its next step."""
        actor, waiting = self._actors[number], [actor.runs for actor in self._actors]
        assert actor.stop is not None
        schedule.steps.append(Step(number, actor.stop.sql, actor.stop.touch if self.reduced else FELT))
        actor.go_on()
        self._settle()
        for one, actor in enumerate(self._actors):
            if actor.runs or not (waiting[one] or one == number):
                continue
            last = next(step for step in reversed(schedule.steps) if step.actor == one)
            if waiting[one]:
                last.freed_after = sum(step.actor != one for step in schedule.steps)
            if actor.failed is not None:
                last.touch, last.gave_up = last.touch | actor.failed, actor.gave_up

    def _settle(self) -> None:
        """Wait until nobody runs, but who waits for the other one."""
        until = time.monotonic() + PATIENCE
        while running := [actor for actor in self._actors if actor.runs]:
            try:
                self._news.get(timeout=SOON)
            except Empty:
                if len(running) == 1 and self._waits(running[0]):
                    return
                if time.monotonic() > until:
                    raise Unsteady("A step has no end.") from None

    def _waits(self, actor: Actor) -> bool:
        """Whether it waits for the other one. (When both wait for each other, PostgreSQL makes one give up.)"""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_blocking_pids(%s)", [actor.pid])
            return bool({other.pid for other in self._actors} & set(cursor.fetchone()[0]))

    def _abandon(self) -> None:
        while standing := [actor for actor in self._actors if actor.stop]:
            standing[0].abandon()
            self._settle()


def _go_on_from(path: Sequence[Choice], schedule: Schedule, standing: Sequence[int]) -> Choice | None:
    """Who goes on at the end of a path: the same one, if that can lead to something new, else the other one."""
    if not path:
        return Choice(standing[0], {})
    before, step = path[-1], schedule.steps[-1]
    asleep = {
        actor: touch
        for actor, touch in before.asleep.items()
        if actor != before.chosen and not touch.meets(step.touch)
    }
    awake = sorted(set(standing) - asleep.keys(), key=lambda actor: actor != before.chosen)
    return Choice(awake[0], asleep) if awake else None
