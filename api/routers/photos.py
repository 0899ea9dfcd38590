"""/animals/{animal_id}/photos"""

import asyncio
from typing import Annotated

from fastapi import Body, Depends, Request, Response

from api.crud import animals, records
from api.crud.photos import changes as photo_changes
from api.crud.photos import reads, uploads
from api.dependencies import SECRET, IfMatchDep, LinksDep, RecordId, SessionDep, TransactionsDep
from api.dependencies.accounts import KEEPER, CallerDep, ReaderDep
from api.dependencies.once import honours_key
from api.errors import BadGateway, Conflict, NotFound, Unavailable
from api.external_services.s3 import S3
from api.http.openapi import BODY, CHANGED, CREATED, DELETED, KEYED, RECORD, RESTRICTED, errors, page, resource_router
from api.schemas.photos import PhotoCreate, PhotoCreated, PhotoRead, PhotoUpdate
from api.state import state_of

router = resource_router("animals")
ONCE = honours_key(records.readable(animals.RESOURCE))

PHOTOS = "/{animal_id}/photos"
PHOTO = PHOTOS + "/{photo_id}"
NO_STORAGE = "There is no storage for photos here: S3_URL is not set"


async def get_storage(request: Request) -> S3:
    """The storage of the photos; Unavailable if there is none."""
    s3 = state_of(request).services.s3
    if s3 is None:
        raise Unavailable(NO_STORAGE)
    return s3


StorageDep = Annotated[S3, Depends(get_storage)]


async def get_photos_due(request: Request) -> asyncio.Event:
    """Wakes what works on photos."""
    return state_of(request).photos_are_due


PhotosDueDep = Annotated[asyncio.Event, Depends(get_photos_due)]


@router.get(PHOTOS, responses=page("the first photo first") | errors(NotFound))
async def list_photos(animal_id: RecordId, reader: ReaderDep, session: SessionDep) -> list[PhotoRead]:
    """List the photos of an animal, all of them: those that are ready and, for keepers, the others, too."""
    return await reads.list_all(session, reader, animal_id)


@router.post(
    PHOTOS,
    status_code=201,
    responses=CREATED | RESTRICTED | errors(NotFound) | KEYED,
    dependencies=[KEEPER, SECRET, ONCE],
)
async def create_photo(  # noqa: PLR0913, PLR0917 - what a route needs
    animal_id: RecordId, data: PhotoCreate, caller: CallerDep, session: SessionDep, s3: StorageDep, links: LinksDep
) -> PhotoCreated:
    """Begin the upload of a photo. PUT its bytes to the URL in the answer, with the headers in the answer; then
    complete it. The URL is good for an hour, and for one upload.
    """
    return links.created(await uploads.create(session, s3, caller, animal_id, data))


@router.get(PHOTO, responses=RECORD | errors(NotFound))
async def read_photo(animal_id: RecordId, photo_id: RecordId, reader: ReaderDep, session: SessionDep) -> PhotoRead:
    """Read a photo; only keepers see one that is not ready."""
    return await reads.get(session, reader, animal_id, photo_id)


@router.post(
    PHOTO + "/complete",
    status_code=202,
    responses=RESTRICTED | errors(NotFound, Conflict, BadGateway) | KEYED,
    dependencies=[KEEPER, ONCE],
)
async def complete_photo(
    animal_id: RecordId, photo_id: RecordId, transactions: TransactionsDep, s3: StorageDep, is_due: PhotosDueDep
) -> PhotoRead:
    """Say that a photo was uploaded: it is decoded soon, and then `ready`, or `failed`. Read it to see."""
    photo = await uploads.complete(transactions, s3, animal_id, photo_id)
    is_due.set()
    return photo


@router.patch(PHOTO, responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | KEYED, dependencies=[KEEPER, ONCE])
async def update_photo(
    animal_id: RecordId,
    photo_id: RecordId,
    changes: Annotated[PhotoUpdate, Body(default_factory=PhotoUpdate)],
    session: SessionDep,
    if_match: IfMatchDep,
) -> PhotoRead:
    """Change what is said about a photo, or its place: 0 makes it the animal's first."""
    return await photo_changes.update(session, animal_id, photo_id, changes, if_match)


@router.delete(
    PHOTO,
    status_code=204,
    response_class=Response,
    responses=RESTRICTED | DELETED | errors(NotFound) | KEYED,
    dependencies=[KEEPER, ONCE],
)
async def delete_photo(animal_id: RecordId, photo_id: RecordId, session: SessionDep, if_match: IfMatchDep) -> None:
    """Delete a photo. Soon after, nobody can read it at its address any more."""
    await photo_changes.remove(session, animal_id, photo_id, if_match)
