"""Searching for a part of a text, whatever its case, by an index, without an extension of Postgres.

The index has the pairs of neighbouring letters of each text. A text that contains `giraffe` has all of its pairs, and
what has all of them is looked at. (pg_trgm does the same with triples, but has to be installed, and isn't everywhere.)
"""

from sqlalchemy import Index, Text, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql

_SPLIT = r"string_to_array(regexp_replace({0}, '(..)', '\1' || chr(31), 'g'), chr(31))"  # a name has no chr(31)
_EVEN = "left({0}, length({0}) / 2 * 2)"
_quoted = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def search_index(table: str, column: str) -> Index:
    """An index that finds the records of `table` by a part of `column`.

    It has deleted ones, too: Postgres knows how frequent a pair is by the statistics of an index, but not by those of a
    partial one.
    """
    pairs = text(f"({_pairs(f'lower({_quoted(column)})')})")
    return Index(f"ix_{table}_{column}_pairs", pairs, postgresql_using="gin")


def contains(column: str, part: str) -> TextClause:
    """Whether `column` contains the parameter `part`, of two characters or more."""
    column, sought = f"lower({_quoted(column)})", f"lower(:{part})"
    # Without a letter that is left over, which stands alone, and without the nothing behind the last separator.
    even = [_SPLIT.format(_EVEN.format(letters)) for letters in (sought, f"substr({sought}, 2)")]
    pairs = f"array_remove({even[0]} || {even[1]}, '')"
    found = text(f"({_pairs(column)}) @> {pairs} AND strpos({column}, {sought}) > 0")
    return found.bindparams(bindparam(part, type_=Text()))


def _pairs(of: str) -> str:
    """From the first letter on, and from the second on."""
    return f"{_SPLIT.format(of)} || {_SPLIT.format(f'substr({of}, 2)')}"
