"""The API and its own schema, set against each other by schemathesis: what the schema allows, what it forbids, and
chains of calls in which one takes what another has given."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# All checks, but for two answers that are meant:
# - A request that the schema allows may still be refused by a rule that no schema can tell, such as a price that
#   is not the order's; what must not be is that the method, the media type or the size is.
# - DELETE cancels an order, which stays on the books.
CONFIG = """
hooks = "{hooks}"

[parameters]
"path.business_id" = "{business_id}"
"body.items[*].sku" = {{ dictionary = "skus", probability = 0.8 }}
"body.orders[*].items[*].sku" = {{ dictionary = "skus", probability = 0.8 }}
"query.sku" = {{ dictionary = "skus", probability = 0.5 }}

[dictionaries.skus]
values = {skus}

[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]
"""
HOOKS = Path(__file__).with_name("hooks.py")
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True)
class Tried:
    """What came of a run: how many requests were made of how many calls, a table of the calls (of what the schema
    allows, how much was accepted and how much a rule refused; the chains are not in it), what was found, and all
    that was said."""

    requests: int
    calls: int
    table: str
    found: Sequence[str]
    said: str


def tried(
    address: str,
    *,
    business_id: str,
    skus: Sequence[str],
    key: str,
    folder: Path,
    seconds: int,
    seed: int = 1,
    phases: Sequence[str] = PHASES,
) -> Tried:
    """Try the API of a server for so many seconds, with a key or with none; files go into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config, report = folder / "schemathesis.toml", folder / "report.json"
    config.write_text(CONFIG.format(business_id=business_id, skus=json.dumps(list(skus)), hooks=HOOKS))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{address}/api/schema", "--no-color", "--checks", "all"),
            *("--exclude-checks", "use_after_free", "--continue-on-failure"),
            *("--seed", str(seed), "--phases", ",".join(phases), "--max-time", str(seconds)),
            *("--report", "json", "--report-json-path", str(report)),
            *(("--header", f"Authorization: Api-Key {key}") if key else ()),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if not report.exists():
        return Tried(0, 0, "", [f"schemathesis did not run:\n{said}"], said)
    told: dict[str, Any] = json.loads(report.read_text())
    found = [f"{one['title']}: {', '.join(one['operations'])}" for one in (*told["failures"], *told["errors"])]
    if done.returncode and not found:
        found = [f"schemathesis ended with {done.returncode}"]
    return Tried(told["test_cases"]["generated"], told["operations"]["tested"], _table(told), found, said)


def _table(told: dict[str, Any]) -> str:
    lines = []
    for call, phases in sorted(told["valid_rates"].items()):
        accepted = sum(phase["accepted"] for phase in phases.values())
        refused = sum(sum(phase.values()) for phase in phases.values()) - accepted
        lines.append(f"  {call:<60} {accepted:6,} accepted {refused:6,} refused")
    return "\n".join(lines)
