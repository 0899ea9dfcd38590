"""The routes of a resource, the same for each."""

from typing import Annotated, Any

from fastapi import Body, Path, Query, Response
from fastapi.routing import APIRouter

from api.crud import records
from api.crud.accounts.readers import readers_of_both
from api.crud.exports import export_csv
from api.crud.resource import Children, Resource
from api.dependencies import DatabaseDep, IfMatchDep, LinksDep, ReadDatabaseDep
from api.dependencies.accounts import ADMIN, least
from api.dependencies.once import ChangesDep, honours_key
from api.enums.users import UserType
from api.errors import NotFound
from api.http.csv_response import CSV, CsvResponse
from api.http.openapi import (
    BODY,
    CHANGED,
    CREATED,
    DELETED,
    KEYED,
    PAGE,
    RECORD,
    RESTRICTED,
    Responses,
    conflict,
    errors,
    resource_router,
)
from api.schemas.fields import MAX_ID


def records_router(resource: Resource) -> APIRouter:
    """`/<resource>`, its records, and the lists of those that belong to one of them."""
    router = resource_router(resource.name, max_body_size=resource.max_body_size)
    _add_reads(router, resource)
    _add_changes(router, resource)
    for children in resource.children:
        if children.is_only:
            _add_list_of(router, children)
    return router


def _id_of(resource: Resource) -> Any:
    return Annotated[int, Path(alias=f"{resource.word}_id", ge=1, le=MAX_ID)]


def _path(resource: Resource) -> str:
    return f"/{{{resource.word}_id}}"


def _may_read(readers: UserType | None) -> Responses:
    return {} if readers is None else RESTRICTED


def _add_reads(router: APIRouter, resource: Resource) -> None:
    Query_, Id = resource.query, _id_of(resource)  # noqa: N806 - types
    readers = least(resource.readers)
    name = resource.name

    @router.get(
        "",
        name=f"list_{name}",
        description=f"List {name}, without deleted ones.",
        response_model=list[resource.read],  # type: ignore[name-defined]  # a type
        responses=PAGE | _may_read(resource.readers),
        dependencies=readers,
    )
    async def list_records(query: Annotated[Query_, Query()], db: ReadDatabaseDep, links: LinksDep) -> Response:  # type: ignore[valid-type]
        return links.page(await records.list_page(db, resource, query))

    @router.get(
        ".csv",
        name=f"export_{name}",
        description=f"All {name} as CSV, without deleted ones, in id order: `python -m api import --update` reads it"
        " again.",
        response_class=Response,
        responses=RESTRICTED | CSV,
        dependencies=[ADMIN],
    )
    async def export_records(db: DatabaseDep) -> Response:
        return CsvResponse(export_csv(db, resource), f"{name}.csv")

    @router.get(
        _path(resource),
        name=f"read_{resource.word}",
        description=f"Read {resource.a_record}.",
        response_model=resource.read,
        responses=RECORD | _may_read(resource.readers) | errors(NotFound),
        dependencies=readers,
    )
    async def read_record(record_id: Id, db: ReadDatabaseDep) -> Any:  # type: ignore[valid-type]
        return await records.get(db, resource, record_id)


def _add_changes(router: APIRouter, resource: Resource) -> None:
    Create, Update, Id = resource.create, resource.update, _id_of(resource)  # noqa: N806 - types
    once = honours_key(records.readable(resource))
    may = [*least(resource.writers), once]
    word = resource.word
    collision = deletion = restoration = KEYED
    if resource.unique:
        collision = KEYED | conflict(f"{resource.unique[0]}: {resource.name} 7 has the same")
    if resource.children:
        deletion = KEYED | conflict(records.still_has(resource, 7, resource.children[0]))
    if resource.references:
        restoration = KEYED | conflict(records.still_deleted(resource.references[0], 7))
    children = " or ".join(dict.fromkeys(child.resource.name for child in resource.children))
    parents = " and ".join(dict.fromkeys(reference.parent.noun for reference in resource.references))

    @router.post(
        "",
        name=f"create_{word}",
        description=f"Create {resource.a_record}.",
        status_code=201,
        response_model=resource.read,
        responses=CREATED | RESTRICTED | collision,
        dependencies=may,
    )
    async def create_record(data: Create, db: ChangesDep, links: LinksDep) -> Any:  # type: ignore[valid-type]
        return links.created(await records.create(db, resource, data))

    @router.patch(
        _path(resource),
        name=f"update_{word}",
        description=f"Change {resource.a_record}: only the fields sent; null clears an optional one.",
        response_model=resource.read,
        responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | collision,
        dependencies=may,
    )
    async def update_record(
        record_id: Id,  # type: ignore[valid-type]
        changes: Annotated[Update, Body(default_factory=Update)],  # type: ignore[valid-type]
        db: ChangesDep,
        if_match: IfMatchDep,
    ) -> Any:
        return await records.change(db, resource, record_id, changes, if_match)

    @router.delete(
        _path(resource),
        name=f"delete_{word}",
        description=f"Delete {resource.a_record}{f' that has no {children}' if children else ''}. The answer is the"
        " record as it was, with `deleted_at` set.",
        response_model=resource.read,
        responses=RESTRICTED | DELETED | errors(NotFound) | deletion,
        dependencies=may,
    )
    async def delete_record(record_id: Id, db: ChangesDep, if_match: IfMatchDep) -> Any:  # type: ignore[valid-type]
        return await records.delete(db, resource, record_id, if_match)

    @router.post(
        f"{_path(resource)}/restore",
        name=f"restore_{word}",
        description=f"Undo that {resource.a_record} was deleted."
        + (f" Its {parents} must not be deleted." if parents else ""),
        response_model=resource.read,
        responses=RESTRICTED | CHANGED | errors(NotFound) | restoration,
        dependencies=[*least(UserType.ADMIN), once],
    )
    async def restore_record(record_id: Id, db: ChangesDep, if_match: IfMatchDep) -> Any:  # type: ignore[valid-type]
        return await records.restore(db, resource, record_id, if_match)


def _add_list_of(router: APIRouter, children: Children) -> None:
    parent, child = children.parent, children.resource
    Query_, Id = children.query, _id_of(parent)  # noqa: N806 - types

    @router.get(
        f"{_path(parent)}/{child.name}",
        name=f"list_{child.name}_of_{parent.word}",
        description=f"List the {child.name} of {parent.a_record}, without deleted ones.",
        response_model=list[child.read],  # type: ignore[name-defined]  # a type
        responses=PAGE | _may_read(readers_of_both(children)) | errors(NotFound),
        dependencies=least(readers_of_both(children)),
    )
    async def list_children(
        record_id: Id,  # type: ignore[valid-type]
        query: Annotated[Query_, Query()],  # type: ignore[valid-type]
        db: ReadDatabaseDep,
        links: LinksDep,
    ) -> Response:
        return links.page(await records.list_page_of(db, record_id, children, query))
