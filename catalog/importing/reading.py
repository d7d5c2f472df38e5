"""Files of rows, as spreadsheets write them: CSV and XLSX. Nothing in them is worked out; a cell is its text."""

import csv
import io
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openpyxl import load_workbook
from tablib import Dataset

from orders_project.api.parsing import unreadable_character
from orders_project.csv_file import FORMULA
from orders_project.errors import InvalidRequest

LARGEST_FILE = 5_000_000  # bytes
LARGEST_UNPACKED = 100_000_000  # bytes: an XLSX file is a ZIP, and a small one may hold any amount of nothing
MOST_ROWS = 10_000
LONGEST_CELL = 5_000  # characters, as the longest text on file
MOST_LINES, MOST_COLUMNS = 100_000, 1_000  # with what is empty: a cell far away comes with all those before it

SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file under the names of their columns, and the line of the file in which each stands."""

    dataset: Dataset
    lines: Sequence[int]


def read_table(content: bytes, *, columns: Collection[str], passed_over: Collection[str] = ()) -> Table:
    """The rows of a file, each with a cell for each of its columns; those that are `passed_over` are left out.

    Raises InvalidRequest, which says what is wrong with the file: too large, no table, or other columns.
    """
    if len(content) > LARGEST_FILE:
        raise _refused(f"The file is larger than {LARGEST_FILE // 1_000_000} MB. Split it.")
    read = _xlsx_rows if content.startswith(b"PK\x03\x04") else _csv_rows
    rows = ((line, cells) for line, cells in _bounded(read(content)) if any(cells))
    first = next(rows, None)
    if first is None:
        raise _refused("The file is empty.")
    headers = [cell.lower().replace(" ", "_") for cell in first[1]]
    while headers and not headers[-1]:
        headers.pop()
    _check_headers(headers, columns, passed_over)
    kept = [at for at, header in enumerate(headers) if header in columns]
    dataset = Dataset(headers=[headers[at] for at in kept])
    lines: list[int] = []
    for line, cells in rows:
        if len(lines) == MOST_ROWS:
            raise _refused(f"The file has more than {MOST_ROWS:,} rows. Split it.")
        if any(cells[len(headers) :]):
            raise _refused(f"Line {line} has more cells than there are columns: is a comma not in quotes?")
        for cell in cells:
            if len(cell) > LONGEST_CELL or unreadable_character(cell):
                raise _refused(f"Line {line} has a cell that can’t be read, or is longer than {LONGEST_CELL:,}.")
        cells += [""] * (len(headers) - len(cells))
        dataset.append([cells[at] for at in kept])
        lines.append(line)
    if not lines:
        raise _refused("The file has no rows, only the names of its columns.")
    return Table(dataset, lines)


def _bounded(rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if line > MOST_LINES or len(cells) > MOST_COLUMNS:
            raise _refused(f"With what is empty, it goes beyond line {MOST_LINES:,} or column {MOST_COLUMNS:,}.")
        yield line, cells


def _check_headers(headers: Sequence[str], columns: Collection[str], passed_over: Collection[str]) -> None:
    unknown = [header for header in headers if header not in columns and header not in passed_over]
    if not unknown and len(set(headers)) == len(headers) and not set(columns).isdisjoint(headers):
        return
    twice = sorted({header for header in headers if headers.count(header) > 1})
    if unknown:
        wrong = f"It has {', '.join(f'“{header[:40]}”' for header in unknown[:5])}"
    else:
        wrong = f"It has {twice[0]} twice" if twice else "It has none of them"
    raise _refused(f"The columns are not those that are expected: {', '.join(columns)}. {wrong}.")


def _csv_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused("The file is neither XLSX nor CSV in UTF-8. Save it as one of these.") from error
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, [_unmarked(cell.strip()) for cell in cells]
    except csv.Error as error:
        raise _refused(f"Line {reader.line_num} is no line of CSV: is a quote not closed?") from error


def _xlsx_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as unpacked:
            if sum(part.file_size for part in unpacked.infolist()) > LARGEST_UNPACKED:
                raise _refused("The file is too large when it is unpacked. Split it.")
        # Of a formula the value that was last seen in the cell: what wrote the file may have left it out.
        values, formulas = (_sheet_rows(content, data_only=only) for only in (True, False))
        for line, (cells, typed) in enumerate(zip(values, formulas, strict=True), start=1):
            if any(cell is None and formula is not None for cell, formula in zip(cells, typed, strict=True)):
                raise _refused(
                    f"Line {line} has a formula without its value. Formulas aren’t read: type the value."
                )
            yield line, [_text(cell) for cell in cells]
    except InvalidRequest:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part of the file makes it stumble over
        raise _refused("The file is not a readable XLSX workbook. Save it anew, or as CSV in UTF-8.") from error


def _sheet_rows(content: bytes, *, data_only: bool) -> Iterable[tuple[Any, ...]]:
    sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=data_only).worksheets[0]
    sheet.reset_dimensions()  # a file may lie about them
    rows: Iterable[tuple[Any, ...]] = sheet.iter_rows(values_only=True)
    return rows


def _text(cell: Any) -> str:
    """A cell of a workbook as text: 12 for 12.0, yes for TRUE."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return _unmarked(str(cell).strip())


def _unmarked(cell: str) -> str:
    """A cell without the mark that our own files put before what begins like a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _refused(words: str) -> InvalidRequest:
    return InvalidRequest.at("file", "unreadable", words)
