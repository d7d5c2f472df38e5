from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orders.invariants import INVARIANTS, findings


class Command(BaseCommand):
    help = "Check every invariant over the whole database; exits non-zero if one is broken."

    def handle(self, *args: Any, **options: Any) -> None:
        off = findings()
        for finding in off:
            self.stdout.write(f"{finding.invariant}\n    {finding.subject}: {finding.found}")
        if off:
            broken = len({finding.invariant for finding in off})
            raise CommandError(f"{broken} of {len(INVARIANTS)} invariants are broken.")
        self.stdout.write(self.style.SUCCESS(f"All {len(INVARIANTS)} invariants hold."))
