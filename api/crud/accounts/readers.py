"""Who may read what belongs to something else."""

from api.crud.resource import ANYBODY, Children
from api.enums.users import UserType


def readers_of_both(children: Children) -> UserType | None:
    """Those who may read both: the list of children says that there is the parent, too."""
    both = [of.readers for of in (children.parent, children.resource) if of.readers is not None]
    return max(both, key=list(UserType).index, default=ANYBODY)
