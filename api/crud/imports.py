"""Loads many records at once from CSV: all of a file, or nothing."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ARRAY, BigInteger, any_, insert, literal, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.records import live
from api.models import Animal, Exhibit, Staff
from api.models.base import Record
from api.schemas.animals import AnimalCreate
from api.schemas.exhibits import ExhibitCreate
from api.schemas.fields import RequestBody
from api.schemas.staff import StaffCreate

BATCH_ROWS = 5_000
MAX_FINDINGS = 20
# May be used in place of `exhibit_id`: people with a spreadsheet know names, not ids.
EXHIBIT_NAME = "exhibit"


class ImportRefused(Exception):
    """The file can't be loaded. `findings` has a sentence for each thing to correct, with its line and field."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


@dataclass(frozen=True)
class Target:
    """What the rows of a file become, and the schema that validates them."""

    model: type[Record]
    schema: type[RequestBody]

    @property
    def has_exhibit(self) -> bool:
        """Whether a record may belong to an exhibit."""
        return "exhibit_id" in self.schema.model_fields


RESOURCES = {
    "exhibits": Target(Exhibit, ExhibitCreate),
    "animals": Target(Animal, AnimalCreate),
    "staff": Target(Staff, StaffCreate),
}


@dataclass
class Exhibits:
    """The exhibits that rows may refer to, and those that they refer to."""

    ids_by_name: dict[str, list[int]] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def use(self, exhibit_id: int | None) -> None:
        """Note a reference to `exhibit_id`; ValueError if there is no such exhibit."""
        if exhibit_id is not None:
            if exhibit_id not in self.ids:
                raise ValueError(f"no exhibit {exhibit_id}")
            self.used.add(exhibit_id)

    def named(self, name: str) -> int:
        """The id of the exhibit `name`; ValueError unless exactly one has that name."""
        match self.ids_by_name.get(name, []):
            case [exhibit_id]:
                return exhibit_id
            case []:
                raise ValueError(f"no exhibit is named {name!r}")
            case several:
                raise ValueError(f"{len(several)} exhibits are named {name!r}: use exhibit_id")


async def load_csv(session: AsyncSession, resource: str, lines: Iterable[str]) -> int:
    """Insert a record for each row of a CSV file, and return how many; ImportRefused if any row is invalid.

    Its first line names the fields; an empty cell is null. The caller commits, or rolls back on any error.
    """
    target = RESOURCES[resource]
    # Through a pipe, the next rows may take a while to arrive.
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    exhibits = await _read_exhibits(session) if target.has_exhibit else Exhibits()
    rows = _read_rows(lines, target, exhibits)
    loaded = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        await session.execute(insert(target.model), batch)
        loaded += len(batch)
    await _keep_exhibits(session, exhibits.used)
    return loaded


async def _read_exhibits(session: AsyncSession) -> Exhibits:
    exhibits = Exhibits()
    for exhibit in await session.scalars(live(Exhibit)):
        exhibits.ids.add(exhibit.id)
        exhibits.ids_by_name.setdefault(exhibit.name, []).append(exhibit.id)
    return exhibits


async def _keep_exhibits(session: AsyncSession, used: set[int]) -> None:
    """Make sure that the used exhibits still exist, and stay until the commit.

    This comes last, because the lock blocks all changes of these exhibits.
    """
    one_of_them = Exhibit.id == any_(literal(list(used), ARRAY(BigInteger)))  # one parameter, however many they are
    statement = live(Exhibit).where(one_of_them).with_only_columns(Exhibit.id).order_by(Exhibit.id)
    kept = set(await session.scalars(statement.with_for_update(read=True))) if used else set()
    if used - kept:
        raise ImportRefused([f"exhibit {min(used - kept)} was deleted meanwhile: load the file again"])


def _read_rows(lines: Iterable[str], target: Target, exhibits: Exhibits) -> Iterator[dict[str, Any]]:
    """The values of each row; ImportRefused at the end of the file, or after MAX_FINDINGS, if any is invalid."""
    reader = csv.reader(lines, strict=True)
    findings: list[str] = []
    try:
        header = _read_header(next(reader, []), target)
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not cells:
                continue  # an empty line
            try:
                yield _read_row(header, cells, target, exhibits)
            except RowInvalid as error:
                findings += [f"line {line}{finding}" for finding in error.findings]
                if len(findings) >= MAX_FINDINGS:
                    break
    except UnicodeDecodeError as error:
        findings.append(f"after line {reader.line_num}: not UTF-8; save the file in that encoding")
        raise ImportRefused(findings) from error
    except csv.Error as error:
        findings.append(f"line {reader.line_num}: not CSV: {error}")
        raise ImportRefused(findings) from error
    if findings:
        raise ImportRefused(findings[:MAX_FINDINGS])


class RowInvalid(Exception):
    """A row can't be a record. `findings` follow the number of its line."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(findings)
        self.findings = findings


def _read_header(cells: list[str], target: Target) -> list[str]:
    header = [cell.strip() for cell in cells]
    fields = set(target.schema.model_fields) | ({EXHIBIT_NAME} if target.has_exhibit else set())
    required = {name for name, info in target.schema.model_fields.items() if info.is_required()}
    known = ", ".join(sorted(fields))
    if not header:
        raise ImportRefused([f"line 1: no header; name the fields there: {known}"])
    findings = [f"line 1: unknown field {name!r}; known: {known}" for name in header if name not in fields]
    findings += [f"line 1: {name} stands there twice" for name in sorted({n for n in header if header.count(n) > 1})]
    findings += [f"line 1: {name} is missing, and every record needs it" for name in sorted(required - set(header))]
    if {EXHIBIT_NAME, "exhibit_id"} <= set(header):
        findings.append(f"line 1: {EXHIBIT_NAME} and exhibit_id exclude each other")
    if findings:
        raise ImportRefused(findings)
    return header


def _read_row(header: list[str], cells: list[str], target: Target, exhibits: Exhibits) -> dict[str, Any]:
    if len(cells) != len(header):
        raise RowInvalid([f": {len(cells)} cells, but the header has {len(header)}"])
    row: dict[str, Any] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    reference = EXHIBIT_NAME if EXHIBIT_NAME in row else "exhibit_id"
    try:
        if EXHIBIT_NAME in row:
            row["exhibit_id"] = str(exhibits.named(row.pop(EXHIBIT_NAME).strip()))
        values = target.schema.model_validate(row, strict=False).model_dump()
        exhibits.use(values.get("exhibit_id"))
    except ValidationError as error:
        found = [(found["loc"][0], found["msg"].removeprefix("Value error, ")) for found in error.errors()]
        raise RowInvalid([f", {name}: {message}" for name, message in found]) from error
    except ValueError as error:
        raise RowInvalid([f", {reference}: {error}"]) from error
    return values
