"""/auth: signing in and out, registering, and tokens by mail."""

from typing import Annotated

from fastapi import Form, Request, Response

from api.crud.accounts import access_tokens, sign_ins
from api.dependencies import SECRET, ClientAddress, SessionDep, SettingsDep, TransactionsDep
from api.dependencies.accounts import CALLER, SAME_ORIGIN, AfterAnswerDep, LimitRegistrations, TokenDep, UserManagerDep
from api.errors import TAKEN, BadRequest, TooManyRequests, UnsupportedMediaType
from api.http.authentication import SameOriginCookieTransport
from api.http.openapi import BODY, OTHER_SITE, SIGNED_IN, errors, nothing, resource_router
from api.http.path_prefix import root_path_of
from api.http.route import FORM_OR_JSON
from api.models.users import User
from api.schemas.auth import BearerToken, Credentials, MailRequest, PasswordReset, Verification
from api.schemas.users import UserCreate, UserRead

router = resource_router("auth", [SECRET])

SignInForm = Annotated[Credentials, Form()]
MAIL = errors(TooManyRequests) | nothing(202, "If there is such an account, the mail will be sent.")
# The same fields are also taken as JSON (api/http/route.py). The document has the form only, because clients that are
# made from it can't choose between two types of one body.
SIGN_IN = BODY | errors(UnsupportedMediaType, example=FORM_OR_JSON) | errors(BadRequest, TooManyRequests)
TOKEN = BODY | errors(BadRequest, example="The token is not valid, or no longer: request another one")


@router.post(
    "/register",
    response_model=UserRead,
    status_code=201,
    responses=BODY | errors(BadRequest, example=TAKEN) | errors(TooManyRequests),
    dependencies=[LimitRegistrations],
)
async def register(data: UserCreate, manager: UserManagerDep) -> User:
    """Create an account. Its type is visitor; an admin may change it to keeper or admin."""
    return await manager.create(data, safe=True)


@router.post("/jwt/login", responses=SIGN_IN)
async def sign_in(form: SignInForm, transactions: TransactionsDep, address: ClientAddress) -> BearerToken:
    """Sign in with a form, or JSON, of `username`, the email address, and `password`; the answer is a bearer token."""
    return BearerToken(access_token=await sign_ins.sign_in(transactions, form.username, form.password, address))


@router.post(
    "/cookie/login",
    status_code=204,
    response_class=Response,
    responses=SIGN_IN | OTHER_SITE,
    dependencies=[SAME_ORIGIN],
)
async def sign_in_with_cookie(
    form: SignInForm, transactions: TransactionsDep, settings: SettingsDep, address: ClientAddress, request: Request
) -> Response:
    """Sign in with a form, or JSON, of `username`, the email address, and `password`; the token is in a cookie."""
    token = await sign_ins.sign_in(transactions, form.username, form.password, address)
    return await SameOriginCookieTransport(settings, root_path_of(request)).get_login_response(token)


@router.post(
    "/jwt/logout",
    status_code=204,
    response_class=Response,
    responses=SIGNED_IN | OTHER_SITE,
    dependencies=[CALLER],
)
async def sign_out(session: SessionDep, token: TokenDep) -> None:
    """Revoke the token that the request was sent with."""
    await access_tokens.end(session, token)


@router.post(
    "/cookie/logout",
    status_code=204,
    response_class=Response,
    responses=SIGNED_IN | OTHER_SITE,
    dependencies=[CALLER],
)
async def sign_out_with_cookie(
    session: SessionDep, token: TokenDep, settings: SettingsDep, request: Request
) -> Response:
    """Revoke the token in the cookie, and remove the cookie."""
    await access_tokens.end(session, token)
    return await SameOriginCookieTransport(settings, root_path_of(request)).get_logout_response()


@router.post("/forgot-password", status_code=202, responses=BODY | MAIL)
async def forgot_password(
    data: MailRequest, session: SessionDep, address: ClientAddress, after_answer: AfterAnswerDep
) -> None:
    """Mail a token for a new password. The answer is the same whether there is such an account or not."""
    await sign_ins.count_mail(session, "reset", data.email, address)
    after_answer.start(lambda manager: manager.mail_reset_token(data.email))


@router.post("/reset-password", responses=TOKEN | nothing(200, "The password is set."))
async def reset_password(data: PasswordReset, manager: UserManagerDep, address: ClientAddress) -> None:
    """Set a new password with the token from the mail. It revokes all of the user's access tokens."""
    await manager.reset_password(data.token, data.password, address)


@router.post("/request-verify-token", status_code=202, responses=BODY | MAIL)
async def request_verify_token(
    data: MailRequest, session: SessionDep, address: ClientAddress, after_answer: AfterAnswerDep
) -> None:
    """Mail a token that verifies the address. The answer is the same whether there is such an account or not."""
    await sign_ins.count_mail(session, "verify", data.email, address)
    after_answer.start(lambda manager: manager.mail_verify_token(data.email))


@router.post("/verify", response_model=UserRead, responses=TOKEN)
async def verify(data: Verification, manager: UserManagerDep) -> User:
    """Verify the address with the token from the mail."""
    return await manager.verify(data.token)
