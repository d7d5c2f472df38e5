"""What a statement has to do with another transaction: read from its text, and from what the database does of
itself for it, which are triggers and foreign keys.

Two steps next to each other may change places, and nobody can tell, unless one of them
- locks or writes rows of a table of which the other one locks or writes rows, or lets go of them;
- shows what was written in a table that the other one reads: by its commit, for until then nobody sees it;
- locks rows to remove them where the other one refers to them or reads.

It is told by tables and not by rows: so some schedules are walked that come to the same, and none is left out.
"""

import re
from dataclasses import dataclass
from functools import cache

from django.db import connection

NOTHING: frozenset[str] = frozenset()
ADVISORY = "advisory locks"


@dataclass(frozen=True, slots=True)
class Touch:
    """The tables of which a step reads rows, takes some (locks or writes them), removes or writes some; and of
    which it shows what was written, and frees what was taken."""

    reads: frozenset[str] = NOTHING
    takes: frozenset[str] = NOTHING
    removes: frozenset[str] = NOTHING
    writes: frozenset[str] = NOTHING
    shows: frozenset[str] = NOTHING
    frees: frozenset[str] = NOTHING

    def __or__(self, other: "Touch") -> "Touch":
        return Touch(*(getattr(self, name) | getattr(other, name) for name in self.__slots__))

    def meets(self, other: "Touch") -> bool:
        """Whether it matters which of the two comes first."""
        return self._is_felt_by(other) or other._is_felt_by(self)

    def _is_felt_by(self, other: "Touch") -> bool:
        return bool(
            self.takes & (other.takes | other.frees) or (self.shows | self.removes) & (other.reads | other.takes)
        )

    @property
    def end(self) -> "Touch":
        """The end of a transaction that touched this."""
        return Touch(shows=self.writes | self.removes, frees=self.takes)

    def and_its_end(self) -> "Touch":
        """Of a statement that is a transaction of its own, or that ends its transaction by failing."""
        return self | self.end


# Of a step that is taken to be felt by every other one.
FELT = Touch(takes=frozenset({"all there is"}))

WRITES = re.compile(r'\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)"?')
DELETES = re.compile(r'\bDELETE FROM\s+"?(\w+)"?')
LOCKS = re.compile(r"\bFOR (?:NO KEY )?UPDATE\b")
LOCKS_TO_REMOVE = re.compile(r"\bFOR UPDATE\b")
LOCKED = re.compile(r'\bFOR (?:NO KEY )?UPDATE OF "?(\w+)"?')
WORD = re.compile(r"\w+")


@cache
def touch_of(sql: str) -> Touch:
    """What a statement touches."""
    rules = _rules()
    touch, known, rest = Touch(), {""}, {sql}
    while rest := rest - known:
        text = rest.pop()
        known.add(text)
        named = set(WORD.findall(text))
        own = _said_in(text, frozenset(named & rules.tables))
        touch |= own
        touch |= Touch(reads=frozenset(parent for table in own.writes for parent in rules.parents.get(table, ())))
        rest |= {rules.triggers.get(table, "") for table in own.writes}
        rest |= {rules.functions[name] for name in named & rules.functions.keys()}
    return touch


def everything_read() -> Touch:
    """Of a step that may read any table."""
    return Touch(reads=_rules().tables)


def _said_in(text: str, tables: frozenset[str]) -> Touch:
    """What a text says itself. Which of its tables a lock is of it need not say; then it is of all."""
    writes = tables & frozenset(WRITES.findall(text))
    locked = frozenset(LOCKED.findall(text)) or (tables if LOCKS.search(text) else NOTHING)
    removed = frozenset(DELETES.findall(text)) | (locked if LOCKS_TO_REMOVE.search(text) else NOTHING)
    advisory = frozenset({ADVISORY}) if "advisory_xact_lock" in text else NOTHING
    return Touch(reads=tables, takes=writes | locked | advisory, removes=tables & removed, writes=writes)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the database does of itself: by table the parents that it looks up and the triggers that it runs."""

    tables: frozenset[str]
    parents: dict[str, list[str]]
    triggers: dict[str, str]
    functions: dict[str, str]


@cache
def _rules() -> _Rules:
    with connection.cursor() as cursor:

        def pairs(sql: str) -> dict[str, str]:
            cursor.execute(sql)
            return dict(cursor.fetchall())

        return _Rules(
            tables=frozenset(connection.introspection.table_names()),
            parents={
                child: parents.split()
                for child, parents in pairs(
                    """
                    SELECT conrelid::regclass::text, string_agg(confrelid::regclass::text, ' ')
                    FROM pg_constraint WHERE contype = 'f' GROUP BY conrelid
                    """
                ).items()
            },
            triggers=pairs(
                """
                SELECT tgrelid::regclass::text, string_agg(prosrc, ' ')
                FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal GROUP BY tgrelid
                """
            ),
            functions=pairs(
                """
                SELECT proname, prosrc FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND probin IS NULL
                """
            ),
        )
