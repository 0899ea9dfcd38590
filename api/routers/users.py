"""/users: a user's own account, and for admins, all accounts."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Response

from api.crud.accounts import users
from api.dependencies import IfMatchDep, LinksDep, SessionDep
from api.dependencies.accounts import (
    ADMIN,
    CALLER,
    AfterAnswerDep,
    CallerDep,
    ProofDep,
    StillSignedInDep,
    UserManagerDep,
)
from api.dependencies.once import honours_key
from api.errors import TAKEN, BadRequest, Conflict, NotFound, TooManyRequests
from api.http.openapi import (
    BODY,
    CHANGED,
    DELETED,
    KEYED,
    OTHER_SITE,
    PAGE,
    RECORD,
    RESTRICTED,
    SIGNED_IN,
    errors,
    resource_router,
)
from api.models.users import User
from api.schemas.users import AccountDeletion, OwnUpdate, UserAdminUpdate, UserQuery, UserRead

router = resource_router("users")

# Only UUIDs: `POST /users/me` is a method that does not exist (405), rather than an invalid id (422).
USER = "/{user_id:uuid}"
LAST_ADMIN = errors(Conflict, example="This is the last active admin: make another user an admin first")
PROVEN = errors(NotFound, TooManyRequests) | errors(BadRequest, example="Wrong password") | OTHER_SITE


@router.get("/me", response_model=UserRead, responses=RECORD | SIGNED_IN | errors(NotFound))
async def read_me(caller: CallerDep, session: SessionDep) -> User:
    """Read your own account."""
    return await users.get(session, caller.id)


@router.patch(
    "/me",
    response_model=UserRead,
    responses=BODY | SIGNED_IN | CHANGED | PROVEN,
    dependencies=[CALLER],
)
async def update_me(  # noqa: PLR0913, PLR0917 - FastAPI passes them by name
    changes: Annotated[OwnUpdate, Body(default_factory=OwnUpdate)],
    caller: CallerDep,
    proof: ProofDep,
    manager: UserManagerDep,
    signed_in: StillSignedInDep,
    if_match: IfMatchDep,
    after_answer: AfterAnswerDep,
) -> User:
    """Change your own address or password: only the fields sent. A new password revokes all access tokens."""
    if changes.model_fields_set - {"current_password"}:
        await proof.require_for_change(changes)
    return await manager.change(caller.id, changes, if_match, signed_in.require, after_answer.mail)


@router.delete(
    "/me",
    status_code=204,
    response_class=Response,
    responses=BODY | SIGNED_IN | DELETED | PROVEN | LAST_ADMIN,
    dependencies=[CALLER],
)
async def delete_me(  # noqa: PLR0913, PLR0917 - FastAPI passes them by name
    data: AccountDeletion,
    caller: CallerDep,
    proof: ProofDep,
    session: SessionDep,
    signed_in: StillSignedInDep,
    if_match: IfMatchDep,
) -> None:
    """Delete your own account permanently; what else you have made stays, without you. The last active admin can't."""
    await proof.require(data.password)
    await users.delete_user(session, caller.id, if_match, signed_in.require)


@router.get("", response_model=list[UserRead], responses=PAGE | RESTRICTED, dependencies=[ADMIN])
async def list_users(query: Annotated[UserQuery, Query()], session: SessionDep, links: LinksDep) -> Sequence[User]:
    """List users, in id order: the oldest account first."""
    return links.next(await users.list_page(session, query))


@router.get(USER, response_model=UserRead, responses=RECORD | RESTRICTED | errors(NotFound), dependencies=[ADMIN])
async def read_user(user_id: UUID, session: SessionDep) -> User:
    """Read an account."""
    return await users.get(session, user_id)


@router.patch(
    USER,
    response_model=UserRead,
    responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | errors(BadRequest, example=TAKEN) | LAST_ADMIN,
    dependencies=[ADMIN],
)
async def update_user(  # noqa: PLR0913, PLR0917 - FastAPI passes them by name
    user_id: UUID,
    changes: Annotated[UserAdminUpdate, Body(default_factory=UserAdminUpdate)],
    manager: UserManagerDep,
    signed_in: StillSignedInDep,
    if_match: IfMatchDep,
    after_answer: AfterAnswerDep,
) -> User:
    """Change an account: only the fields sent. A new password or a deactivation revokes all of the user's tokens."""
    return await manager.change(user_id, changes, if_match, signed_in.require, after_answer.mail)


@router.delete(
    USER,
    status_code=204,
    response_class=Response,
    responses=RESTRICTED | DELETED | errors(NotFound) | KEYED,
    dependencies=[ADMIN, honours_key()],
)
async def delete_user(user_id: UUID, session: SessionDep, if_match: IfMatchDep) -> None:
    """Delete an account permanently. The last active admin can't be deleted."""
    await users.delete_user(session, user_id, if_match)
