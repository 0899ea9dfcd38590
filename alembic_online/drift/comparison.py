"""What a comparison has found, and what Postgres still has to decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from alembic_online.drift.expressions import NotComparable, Pair, compare
from alembic_online.drift.inventory import Inventory, Item


@dataclass(frozen=True)
class Difference:
    """An item that is missing in the database, is not in the models (`wanted` is None), or is not as there."""

    item: Item
    there: str | None = None
    wanted: str | None = None


@dataclass
class Comparison:
    """The differences between a database and the models so far."""

    there: Inventory
    differences: list[Difference] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    undecided: list[tuple[Difference, Sequence[Pair]]] = field(default_factory=list)
    """Differences unless all these pairs are the same to Postgres."""

    def differ(self, kind: str, of: str, part: str, wanted: str | None, unless: Sequence[Pair] = ()) -> None:
        """Note that this is not as wanted, unless these pairs are the same; None: that it is not wanted."""
        item = Item(kind, of, part)
        difference = Difference(item, self.there.items.get(item), wanted)
        if unless:
            self.undecided.append((difference, unless))
        else:
            self.differences.append(difference)

    def decide(self, connection: Connection) -> None:
        """Ask Postgres about what is undecided."""
        answers = iter(compare(connection, [pair for _, pairs in self.undecided for pair in pairs]))
        for difference, pairs in self.undecided:
            found = [next(answers) for _ in pairs]
            refused = next((answer for answer in found if isinstance(answer, NotComparable)), None)
            if refused is not None:
                self.not_compared.append(f"{self.there.name(difference.item)}: {refused}")
            elif not all(found):
                self.differences.append(difference)
        self.undecided.clear()
