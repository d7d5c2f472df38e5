"""Bringing in rows from a spreadsheet: read, looked at, shown, and only then done, all or none."""
