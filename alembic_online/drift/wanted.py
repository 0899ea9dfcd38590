"""What a table of the models holds."""

from dataclasses import dataclass, field

from sqlalchemy import Identity

_LIMITS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


@dataclass(frozen=True)
class WantedColumn:
    """A column. `type` is as in DDL, None if the models don't know it; `default` and `generated` are expressions."""

    name: str
    type: str | None
    collation: str | None
    is_nullable: bool
    comment: str | None
    default: str | None = None
    generated: str | None = None
    persisted: bool | None = None
    identity: Identity | None = None
    has_own_default: bool = False
    """Whether Postgres or somebody else sets it, in a way that the models don't tell: a serial, FetchedValue()."""


@dataclass(frozen=True)
class WantedPart:
    """A constraint or an index. `name` is None if Postgres chooses it; `definition` is what follows it in DDL."""

    kind: str
    name: str | None
    definition: str


@dataclass(frozen=True)
class WantedTable:
    """A table; `source` is its name as SQL, `enums` has the labels of the types that it uses, by name."""

    name: str
    source: str
    comment: str | None
    is_partitioned: bool
    columns: list[WantedColumn] = field(default_factory=list)
    parts: list[WantedPart] = field(default_factory=list)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sequences: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    """What SQLAlchemy can't write as DDL, with the reason."""
    column_names: set[str] = field(default_factory=set)


def identity_definition(identity: Identity, type_: str) -> str:
    """As the inventory has it, with Postgres's defaults for what the models don't say."""
    increment = identity.increment or 1
    limit = _LIMITS.get(type_, 2**63)
    lowest, highest = (1, limit - 1) if increment > 0 else (-limit, -1)
    minimum = lowest if identity.minvalue is None else identity.minvalue
    maximum = highest if identity.maxvalue is None else identity.maxvalue
    start = identity.start if identity.start is not None else minimum if increment > 0 else maximum
    return (
        f"{'ALWAYS' if identity.always else 'BY DEFAULT'} INCREMENT BY {increment} MINVALUE {minimum}"
        f" MAXVALUE {maximum} START WITH {start} CACHE {identity.cache or 1}{' CYCLE' if identity.cycle else ''}"
    )
