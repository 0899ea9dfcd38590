"""From the rows of a file to batches of checked records, bounded in rows and in bytes."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from api.crud.exports import FORMULA
from api.crud.imports.header import read_table
from api.crud.imports.lines import Unreadable, read_lines
from api.crud.imports.parents import ImportRefused, Parents, fields_of, names_of
from api.crud.resource import Resource, as_json
from api.schemas.fields import MAX_ID, RequestBody
from api.schemas.text import one_line

BATCH_ROWS = 5_000
BATCH_CHARACTERS = 2**20  # of up to four bytes each, in several copies
MAX_FINDINGS = 20
ID = "id"

_escaped = re.compile(f"'(?='*{FORMULA})").match  # by an export


@dataclass
class Batch:
    """Some rows of a file: of each its line, its cells by field, the key of the record to be changed, its values.

    Without a key it is a new record. The values are those of the file's columns, checked, as they are to be stored.
    """

    lines: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    size: int = 0


class Batches:
    """The batches of a file. ImportRefused, at its end or after MAX_FINDINGS, if any row is invalid.

    If records are to be updated, `key` is the field that says which: the id, or one that is unique. Else it is None.
    """

    def __init__(self, file: IO[bytes], resource: Resource, parents: Mapping[str, Parents], *, update: bool) -> None:
        self.resource = resource
        self.parents = parents
        self.findings: list[tuple[int, str]] = []
        self.seen: dict[Any, int] = {}
        self.unread: set[tuple[int, str]] = set()  # lines and fields of which a finding is told already
        required = {name: is_required and not update for name, is_required in fields_of(resource).items()}
        try:
            self.header, self.rows = read_table(read_lines(file), required | ({ID: False} if update else {}))
        except Unreadable as error:
            raise ImportRefused(str(error).splitlines()) from error
        named = self.header.fields
        self.names = {}
        for name, reference in names_of(resource).items():
            if {name, reference.field} <= set(named):
                raise ImportRefused([f"line {self.header.line}: {name} and {reference.field} exclude each other"])
            is_required = resource.create.model_fields[reference.field].is_required() and not update
            if is_required and not {name, reference.field} & set(named):
                missing = f"{name} or {reference.field} is missing, and every record needs it"
                raise ImportRefused([f"line {self.header.line}: {missing}"])
            if name in named:
                self.names[name] = reference.field
        self.key = self._key(named) if update else None
        self.columns = columns = [self.names.get(name, name) for name in named if name != ID]
        if not columns:
            raise ImportRefused([f"line {self.header.line}: no column to change"])
        defaults = {
            name: default
            for name, info in resource.create.model_fields.items()
            if not info.is_required() and (default := info.get_default()) is not None
        }
        # The values of fields that new records have, although the file does not.
        self.defaults = {name: default for name, default in defaults.items() if name not in columns}
        # What an empty cell stands for.
        self.empty = {name: defaults.get(name) for name in columns}
        self.references = [name for name in columns if name in parents]
        self.structured = [name for name in columns if name in resource.structured]
        self.defaults |= {name: as_json(self.defaults[name]) for name in resource.structured if name in self.defaults}
        self._values = itemgetter(*columns) if len(columns) > 1 else lambda fields: tuple(map(fields.get, columns))

    def _key(self, named: Sequence[str]) -> str:
        usable = [ID, *self.resource.unique]
        if found := [name for name in usable if name in named]:
            return found[0]
        missing = " or ".join(usable)
        raise ImportRefused([f"line {self.header.line}: no column says which records are to be updated: {missing}"])

    def __iter__(self) -> Iterator[Batch]:
        try:
            for batch in self._read():
                self._check(batch)
                if len(self.findings) >= MAX_FINDINGS:
                    break
                if not self.findings:
                    yield batch
        except Unreadable as error:
            raise ImportRefused([*self._sentences(), *str(error).splitlines()]) from error
        self.refuse_findings()

    def refuse_findings(self) -> None:
        """ImportRefused if there are any."""
        if self.findings:
            raise ImportRefused(self._sentences())

    def _sentences(self) -> list[str]:
        found = sorted(self.findings, key=lambda finding: finding[0])
        return [f"line {line}{sentence}" for line, sentence in found[:MAX_FINDINGS]]

    def _read(self) -> Iterator[Batch]:
        """The rows as they are, without those that are empty."""
        names, unnamed, batch = self.header.names, self.header.unnamed, Batch()
        is_plain = None not in names
        try:
            for line, cells in self.rows:
                text = "".join(cells)
                if not text or text.isspace():
                    continue
                if (len(cells) != len(names) or unnamed) and not self._fits(line, cells):
                    continue
                if "'" in text:
                    cells = [cell[1:] if _escaped(cell) else cell for cell in cells]  # noqa: PLW2901 - the same cells
                batch.lines.append(line)
                if is_plain and "" not in cells:
                    batch.rows.append(dict(zip(names, cells, strict=False)))  # type: ignore[arg-type]  # none is None
                else:
                    batch.rows.append({name: cell for name, cell in zip(names, cells, strict=False) if cell and name})
                batch.size += len(text)
                if batch.size >= BATCH_CHARACTERS or len(batch.lines) >= BATCH_ROWS:
                    full, batch = batch, Batch()  # first, so that it is not read again if nobody asks for more
                    yield full
        finally:
            if batch.lines:
                yield batch

    def _fits(self, line: int, cells: list[str]) -> bool:
        """Whether all cells but empty ones are below a name, and below each name is a cell."""
        names = self.header.names
        last = max(n for n, name in enumerate(names) if name)
        if len(cells) <= last or any(cell.strip() for cell in cells[len(names) :]):
            self.findings.append((line, f": {len(cells)} cells, but the header has {len(names)}"))
            return False
        for n in self.header.unnamed:
            if n < len(cells) and cells[n].strip():
                self.findings.append((line, f": cell {n + 1} has text, but no name in the header"))
                return False
        return True

    def _check(self, batch: Batch) -> None:
        for name, field_name in self.names.items():
            parents = self.parents[field_name]
            self._replace(batch, name, field_name, lambda cell: parents.named(one_line(cell), field_name))  # noqa: B023 - called at once
        for name in self.structured:
            self._replace(batch, name, name, _finite_json)
        if self.key == ID:
            batch.keys = [self._id(line, row) for line, row in zip(batch.lines, batch.rows, strict=True)]
        if self.key is None:
            batch.values = self.validate(batch.lines, batch.rows, self.resource.create)
        else:
            batch.values = self.validate(batch.lines, [self.empty | row for row in batch.rows], self.resource.update)
        if self.key not in {None, ID}:
            place = self.columns.index(self.key)
            batch.keys = [values[place] for values in batch.values]
        self._refuse_twice(batch)

    def _replace(self, batch: Batch, name: str, field_name: str, read: Callable[[str], Any]) -> None:
        """Put what a cell stands for in its place."""
        for line, row in zip(batch.lines, batch.rows, strict=True):
            if name in row:
                try:
                    row[field_name] = read(row.pop(name))
                except ValueError as error:
                    why = f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else error
                    self.findings.append((line, f", {name}: {why}"))
                    self.unread.add((line, field_name))

    def _id(self, line: int, row: dict[str, Any]) -> int | None:
        cell = row.pop(ID, "").strip()
        if not re.fullmatch("[0-9]{0,19}", cell) or int(cell or 1) not in range(1, MAX_ID + 1):
            self.findings.append((line, f", {ID}: must be a whole number from 1 on"))
            return None
        return int(cell) if cell else None

    def _refuse_twice(self, batch: Batch) -> None:
        for line, key in zip(batch.lines, batch.keys, strict=False):
            if key is not None and (before := self.seen.setdefault(key, line)) != line:
                self.findings.append((line, f", {self.key}: {key} stands on line {before} already"))

    def validate(
        self, lines: list[int], rows: list[dict[str, Any]], schema: type[RequestBody]
    ) -> list[tuple[Any, ...]]:
        """The values of `self.columns` for each row, as `schema` has them; nothing, but findings, if any is invalid."""
        try:
            records = _list_of(schema).validate_python(rows, strict=False)
        except ValidationError as error:
            wrong = set()
            for one in error.errors(include_url=False, include_input=False):
                index, name = one["loc"][:2]
                wrong.add((index, name))
                message = one["msg"].removeprefix("Value error, ")
                if (lines[int(index)], name) not in self.unread:
                    self.findings.append((lines[int(index)], f", {name}: {message}"))
            for name in self.references:
                found = [None if (n, name) in wrong else row.get(name) for n, row in enumerate(rows)]
                self._use(name, lines, found)
            return []
        for name in self.references:
            self._use(name, lines, [record.__dict__[name] for record in records])
        for name in self.structured:
            for record in records:
                record.__dict__[name] = as_json(record.__dict__[name])
        rows_of_values = [self._values(record.__dict__) for record in records]
        return [tuple(None if value == "" else value for value in row) if "" in row else row for row in rows_of_values]

    def _use(self, name: str, lines: list[int], parent_ids: list[Any]) -> None:
        parents = self.parents[name]
        for line, parent_id in zip(lines, parent_ids, strict=True):
            if parent_id is not None:
                try:
                    parents.use(int(parent_id))
                except ValueError as error:
                    self.findings.append((line, f", {name}: {error}"))


def _finite_json(cell: str) -> Any:
    """The value of the JSON; ValueError, too, if a number in it is none of JSON."""
    value = json.loads(cell)
    json.dumps(value, allow_nan=False)
    return value


@cache
def _list_of(schema: type[RequestBody]) -> TypeAdapter[list[RequestBody]]:
    return TypeAdapter(list[schema])  # type: ignore[valid-type]  # a schema is a type
