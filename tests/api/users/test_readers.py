"""Who may read what belongs to something else."""

from copy import copy
from dataclasses import replace

from api.crud.accounts.readers import readers_of_both
from api.crud.resource import ANYBODY, Resource
from api.crud.resources import RESOURCES
from api.enums.users import UserType
from tests.each import each


def read_by(resource: Resource, readers: UserType | None) -> Resource:
    """The resource, as if it were for these readers."""
    changed = copy(resource)
    changed.readers = readers
    return changed


@each(
    "of_parent, of_child, both",
    [
        (None, None, ANYBODY),
        (None, UserType.KEEPER, UserType.KEEPER),
        (UserType.VISITOR, None, UserType.VISITOR),
        (UserType.ADMIN, UserType.KEEPER, UserType.ADMIN),
        (UserType.VISITOR, UserType.ADMIN, UserType.ADMIN),
    ],
)
def test_the_list_of_what_belongs_to_a_record_is_for_who_may_read_both(
    of_parent: UserType | None, of_child: UserType | None, both: UserType | None
) -> None:
    children = next(children for resource in RESOURCES.values() for children in resource.children)
    parent, child = read_by(children.parent, of_parent), read_by(children.resource, of_child)
    assert readers_of_both(replace(children, parent=parent, resource=child)) is both
