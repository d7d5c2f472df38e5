"""What Holdfast is made of that others wrote, and what is known against it: `make audit`.

Reads the lock files, which pin each package to one version and to the hashes of its files, and asks OSV
(https://osv.dev), which has the advisories of PyPI too, in one request for all of them. Where OSV can't be reached
it prints the pinned versions and says that nothing was asked. Exit status: 0 if nothing is known against any of
them, or nobody could be asked; 1 if something is, or one of them isn't pinned.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orders_project.local.servers import PROJECT

LOCK_FILES = ("requirements.txt", "requirements-dev.txt")
OSV = "https://api.osv.dev/v1/querybatch"
PATIENCE = 20  # seconds

PINNED = re.compile(
    r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(?: ;[^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)"
)


class NotPinned(Exception):
    """A line of a lock file that leaves open what is installed."""


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """The packages of a lock file with their versions. Raises NotPinned."""
    for entry in re.split(r"\n(?=[^\s#])", re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE)):
        found = PINNED.fullmatch(entry.strip())
        if found is None:
            raise NotPinned(entry.splitlines()[0])
        yield found[1].lower(), found[2]


def advisories(packages: Sequence[tuple[str, str]], *, osv: str = OSV) -> Mapping[tuple[str, str], list[str]]:
    """What is known against each of these packages, by the ids of the advisories; those against which nothing is
    known are left out. Raises OSError if OSV can't be reached, ValueError if it answers something else."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    request = urllib.request.Request(
        osv, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        results: list[dict[str, Any]] = json.load(response)["results"]
    known = {
        package: [advisory["id"] for advisory in result.get("vulns", ())]
        for package, result in zip(packages, results, strict=True)
    }
    return {package: ids for package, ids in known.items() if ids}


def main(*, osv: str = OSV) -> int:
    try:
        packages = sorted({package for file in LOCK_FILES for package in pinned((PROJECT / file).read_text())})
    except NotPinned as line:
        print(f"Not pinned to one version and its hashes: {line}")
        return 1
    try:
        known = advisories(packages, osv=osv)
    except (OSError, ValueError) as error:
        for name, version in packages:
            print(f"{name} {version}")
        print(
            f"{len(packages)} packages, all pinned. Whether anything is known against them was NOT asked: {error}."
        )
        return 0
    for (name, version), ids in known.items():
        print(f"{name} {version}: {', '.join(ids)}")
    print(f"{len(packages)} packages, all pinned; something is known against {len(known)} of them.")
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())
