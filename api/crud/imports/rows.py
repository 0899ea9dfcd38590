"""From the lines of a CSV file (RFC 4180) to its rows, as spreadsheets and people write them."""

import csv
import re
from collections.abc import Iterator

from api.crud.imports.lines import Unreadable

Row = tuple[int, list[str]]
"""The number of the line that a row begins at, and its cells."""


def read_rows(lines: Iterator[str], delimiter: str, number: int) -> Iterator[Row]:
    """The rows of `lines`, the first of which has this number; Unreadable if they are not CSV.

    There may be blanks around quotation marks: csv.reader skips those before, and the rare row with others is read
    again.
    """
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    source = noted()
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = _read_again(taken, source, delimiter, number, error)
        yield number, cells
        number += len(taken)
        taken.clear()


def _read_again(taken: list[str], source: Iterator[str], delimiter: str, number: int, error: csv.Error) -> list[str]:
    if "expected after" in str(error):
        while (cells := _split("".join(taken), delimiter)) is None:
            if next(source, None) is None:
                break
        if cells:
            return cells
        why = 'something follows a closing quotation mark ("); inside of a cell it is doubled ("")'
    elif "field limit" in str(error):
        why = f'a cell has more than {csv.field_size_limit():,} characters: is its quotation mark (") closed?'
    else:
        why = 'a quotation mark (") opens a cell and is not closed'
    raise Unreadable(f"line {number}: not CSV: {why}") from error


def _split(record: str, delimiter: str) -> list[str] | None:
    """The cells of a row, with blanks around quotation marks; none if it is not CSV, None if it goes on."""
    blank = " " if delimiter == "\t" else "[ \t]"
    quoted = re.compile(rf'{blank}*"((?:[^"]|"")*+)"{blank}*')
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    cells, at = [], 0
    while True:
        found = quoted.match(record, at)
        if found:
            cells.append(found[1].replace('""', '"'))
        elif re.compile(rf'{blank}*"').match(record, at):
            return None
        else:
            found = plain.match(record, at)
            assert found is not None  # it may be empty
            cells.append(found[0])
        at = found.end()
        if record[at : at + 1] != delimiter:
            return cells if not record[at:].strip("\r\n") else []
        at += 1
