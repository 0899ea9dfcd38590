"""The first line of a file: it names the fields, and shows what stands between cells."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from api.crud.imports.lines import Unreadable
from api.crud.imports.rows import Row, read_rows
from api.schemas.text import one_line

DELIMITERS = (",", ";", "\t", "|")
# An export has them, but the database sets them.
PASSED_OVER = {"created_at", "updated_at", "deleted_at"}

_excels = re.compile(r'"?sep=(.)"?[,;\t|]*\s*', re.IGNORECASE).fullmatch


@dataclass(frozen=True)
class Header:
    """The names of the columns, None where a column is passed over; `unnamed` are those without a name."""

    names: list[str | None]
    unnamed: list[int]
    line: int

    @property
    def fields(self) -> list[str]:
        """The names that have one."""
        return [name for name in self.names if name is not None]


def read_table(lines: Iterator[str], known: Mapping[str, bool]) -> tuple[Header, Iterator[Row]]:
    """The header of a file and the rows below; `known` says of each field whether it is required.

    Unreadable, with a line for each thing to correct, if the header can't be used.
    """
    numbered = zip(count(1), lines)
    said = None
    for number, line in numbered:  # noqa: B007 - both are needed after the break
        if found := _excels(line):
            said = found[1]
        elif line.strip(' "\r\n' + "".join(DELIMITERS)):
            break
    else:
        raise Unreadable(f"line 1: no header; name the fields there: {_listed(known)}")
    by_folded = {name.casefold(): name for name in known}
    names_by_delimiter = {
        delimiter: [
            by_folded.get(name := _name(cell), name)
            for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        ]
        for delimiter in ([said] if said else DELIMITERS)
    }
    delimiter = max(names_by_delimiter, key=lambda of: len(known.keys() & set(names_by_delimiter[of])))
    names = names_by_delimiter[delimiter]
    if findings := _findings(names, known):
        raise Unreadable("\n".join(f"line {number}: {finding}" for finding in findings))
    header = Header(
        [name if name in known else None for name in names], [n for n, name in enumerate(names) if not name], number
    )
    return header, read_rows(lines, delimiter, number + 1)


def _name(cell: str) -> str:
    """The name in a cell, whatever its case, and with blanks or hyphens for underscores."""
    try:
        return re.sub(r"[\s-]+", "_", one_line(cell).strip('"').strip()).casefold()
    except ValueError:
        return cell


def _findings(names: Sequence[str], known: Mapping[str, bool]) -> list[str]:
    named = [name for name in names if name and name not in PASSED_OVER]
    unknown = [name for name in named if name not in known]
    findings = [f"unknown field {name!r}; known: {_listed(known)}" for name in unknown if name != "id"]
    if "id" in unknown:
        findings.append("the database gives records their id: leave the column out, or use --update")
    findings += [f"{name} stands there twice" for name in sorted({name for name in named if named.count(name) > 1})]
    missing = [name for name, is_required in known.items() if is_required and name not in named]
    return findings + [f"{name} is missing, and every record needs it" for name in sorted(missing)]


def _listed(known: Mapping[str, bool]) -> str:
    return ", ".join(sorted(known))
