"""A table that becomes a partition, or no longer is one, and what else is locked for that."""

from collections.abc import Iterator

from alembic_online.sql.effect import Effect, Work
from alembic_online.sql.lock import Lock
from alembic_online.sql.schema import Schema


def join(parent: str, child: str | None, schema: Schema) -> Iterator[Effect]:
    """What a new partition does to other tables than its parent; `child` is the table that is attached, if one is."""
    if child is not None:
        yield from _attached(parent, child, schema)
    if default := schema.defaults.get(parent):
        why = "the default partition's rows are checked, unless a constraint proves that none belongs to the new one"
        for name in (default, *schema.descendants(default)):
            yield Effect(name, Lock.ACCESS_EXCLUSIVE, Work.SCAN, why)
    for key in schema.refers_to(parent):
        lock, why = Lock.SHARE_ROW_EXCLUSIVE, f"gets triggers for {key.name}"
        for own in schema.refers_to(child) if child is not None else ():
            if own.may_become_part_of(key.columns, key.referred):
                lock, why = Lock.ACCESS_EXCLUSIVE, f"the foreign key {own.name} becomes a part of {key.name}"
        for name in schema.with_partitions(key.referred):
            yield Effect(name, lock, Work.NONE, why)
    for key in schema.referred_by(parent):
        why = f"its foreign key {key.name} gets triggers on the partition"
        yield Effect(key.table, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, why)


def _attached(parent: str, child: str, schema: Schema) -> Iterator[Effect]:
    why = "a partition's rows are checked, unless a constraint proves the bounds"
    indexed = schema.indexes.values()
    work = Work.BUILD if parent in indexed and child not in indexed else Work.SCAN
    why += f", and the indexes that {parent} has are built" if work is Work.BUILD else ""
    for name in (child, *schema.descendants(child)):
        yield Effect(name, Lock.ACCESS_EXCLUSIVE, work, why)


def leave(parent: str, child: str, schema: Schema) -> Iterator[Effect]:
    """What it does to other tables than its parent that a partition is detached."""
    for name in (child, *schema.descendants(child)):
        yield Effect(name, Lock.ACCESS_EXCLUSIVE, Work.NONE, "is no longer a partition")
    yield from widen_default(parent, child, schema)
    for key in schema.refers_to(parent):
        yield Effect(key.referred, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, f"{key.name} is recreated for the partition")
    for key in schema.referred_by(child):
        why = f"its foreign key {key.name} loses the triggers on the partition"
        yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, Work.NONE, why)


def widen_default(parent: str, child: str, schema: Schema) -> Iterator[Effect]:
    """What it does to the default partition that another one goes."""
    default = schema.defaults.get(parent)
    if default is not None and default != child:
        yield Effect(default, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"as the default partition, it takes what {child} took")
