"""What routes need, each written once."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.records import Page, R
from api.database import get_session
from api.errors import UnsupportedMediaType
from api.schemas.fields import MAX_ID

SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""The request's session. Of function scope: it is committed before the answer is sent, so that an error still shows."""

RecordId = Annotated[int, Path(ge=1, le=MAX_ID)]
"""The id in a path."""


async def require_json_body(request: Request) -> None:
    """Refuse a body of another type, whose content would otherwise be reported as one long invalid string."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    if not is_json and await request.body():
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json")


JsonBody = Depends(require_json_body)


class Links:
    """The headers that lead to other records: Location, and Link (RFC 8288).

    They are relative, for which scheme and host the client sees is not the api's to know; behind a proxy that serves
    the api below a prefix they have that prefix.
    """

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response
        path = request.url.path.rstrip("/")
        root = request.scope.get("root_path", "").rstrip("/")
        self.path = path if path.startswith(f"{root}/") else root + path

    def created(self, record: R) -> R:
        """`record`, with its Location."""
        self.response.headers["Location"] = f"{self.path}/{record.id}"
        return record

    def page(self, page: Page[R]) -> Sequence[R]:
        """The records of `page`, with a Link to the next one while there is more.

        The link keeps the filters and goes on by `after`, whichever way the client began.
        """
        if page.next_after is not None:
            url = self.request.url.remove_query_params("offset").include_query_params(after=page.next_after)
            self.response.headers["Link"] = f'<{self.path}?{url.query}>; rel="next"'
        return page.records


LinksDep = Annotated[Links, Depends()]
