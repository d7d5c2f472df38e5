"""The table of docs/field-failures.md names tests that exist."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_field_failures_name_their_tests():
    path, named = "", 0
    for line in (PROJECT / "docs/field-failures.md").read_text().splitlines():
        for file, test in re.findall(r"`([\w/.]*)::(\w+)`", line):
            path = file or path
            assert f"\ndef {test}(" in (PROJECT / path).read_text(), f"{path}::{test}"
            named += 1
    assert named > 40
