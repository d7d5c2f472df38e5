"""Every guard, and the tests that would miss it. A guard that stands here and isn't missed is a finding."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Guard:
    """A few words in a file of ours that keep a promise, and what stands in their place without it."""

    name: str
    file: str
    guard: str
    without: str
    tests: list[str]

    def taken_out_of(self, text: str) -> str:
        """The file's text without it. Raises ValueError if it doesn't stand there once."""
        if (found := text.count(self.guard)) != 1:
            raise ValueError(f"{self.file} has this {found} times, and not once: {self.guard}")
        return text.replace(self.guard, self.without)


@dataclass(frozen=True)
class Law:
    """A rule that the database keeps, and the SQL that repeals it."""

    name: str
    kind: str
    repeal: str

    @property
    def tests(self) -> list[str]:
        return {
            "refuses": [f"orders/tests/test_laws.py::test_law_refuses[{self.name.split('_')[0]}]"],
            "append-only": ["orders/tests/test_laws.py"],
            "counts": ["orders/tests/test_stats.py"],
            "tells": ["orders/tests/test_webhooks.py"],
        }[self.kind]


# Not Django's own: plain foreign keys, primary keys, positive integers. And not UNIQUE (business_id, id), which
# the primary key implies, and which is there for foreign keys to refer to.
OF_THE_DATABASE = """
    WITH ours AS (
        SELECT oid FROM pg_class WHERE relname ~ '^(catalog|customers|reservations|orders)_'
    )
    SELECT conname AS name, 'refuses', format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
    FROM pg_constraint JOIN ours ON conrelid = ours.oid
    WHERE contype IN ('c', 'u', 'f', 'x') AND conname !~ '_fk_|_pkey$|_check$|_of_business$'
    UNION ALL
    SELECT relname, 'refuses', format('DROP INDEX %I', relname)
    FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid JOIN ours ON indrelid = ours.oid
    WHERE indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT tgname,
        CASE WHEN tgname ~ '_never_' THEN 'append-only'
            WHEN tgname = 'event_queued' THEN 'tells' ELSE 'counts' END,
        format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
    FROM pg_trigger JOIN ours ON tgrelid = ours.oid WHERE NOT tgisinternal
    ORDER BY 1
"""

GUARDS = [Guard(**row) for row in tomllib.loads(Path(__file__).with_name("guards.toml").read_text())["guard"]]
