"""The resources. A new one is listed here; all that concerns it alone stands in the files of its name.

Routes, permissions, the document, import, export, the seed data and the tests of records follow from this list.
"""

from importlib import import_module

from api.crud.resource import Resource, related

NAMES = (
    "animals",
    "exhibits",
    "staff",
)


def declared(name: str) -> Resource:
    """The resource of the file of this name in api/crud; TypeError if it declares none."""
    resource = getattr(import_module(f"api.crud.{name}"), "RESOURCE", None)
    if not isinstance(resource, Resource):
        raise TypeError(f"api/crud/{name}.py declares no RESOURCE; the file of a resource may have any other name")
    return resource


RESOURCES = {resource.name: resource for resource in related([declared(name) for name in NAMES])}


def parents_first() -> list[Resource]:
    """Each after those that its records belong to."""
    found: list[Resource] = []

    def add(resource: Resource) -> None:
        if resource not in found and resource not in begun:
            begun.append(resource)
            for reference in resource.references:
                add(reference.parent)
            found.append(resource)

    begun: list[Resource] = []
    for resource in RESOURCES.values():
        add(resource)
    return found
