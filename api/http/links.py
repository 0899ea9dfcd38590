"""The headers that lead from one answer to others, and the answers of lists."""

from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request, Response

from api.database.json_rows import JsonPage, L, Page


class Identified(Protocol):
    """A record."""

    @property
    def id(self) -> object:
        """Its id."""


R = TypeVar("R", bound=Identified)

POSITION = {"offset", "after"}


class Links:
    """The headers that lead to other records: Location, and Link (RFC 8288).

    They are relative, because the api does not know which scheme and host the client sees, and have the prefix below
    which a proxy serves the api.
    """

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response
        # Quoted: a number in it may have white space around it, even line breaks, which no header can have.
        self.path = quote(request.scope["path"])

    def of(self, record_id: object) -> str:
        """The path of the record."""
        return f"{self.path}/{record_id}"

    def created(self, record: R) -> R:
        """`record`; its Location is in the headers."""
        self.response.headers["Location"] = self.of(record.id)
        return record

    def page(self, page: JsonPage, key: str | None = None) -> Response:
        """The answer with the records of `page`, under `key` if there is one, and a Link if there are more."""
        records = self.next(page)
        content = records if key is None else f'{{"{key}":{records}}}'
        return Response(content, headers=self.response.headers, media_type="application/json")

    def next(self, page: Page[L]) -> L:
        """The records of `page`; a Link to the next one, if there is one, is in the headers, as is their number.

        The link keeps the filters and uses `after`, even if the client used `offset`.
        """
        if page.next_after is not None:
            kept: list[tuple[str, object]] = [
                (name, value) for name, value in self.request.query_params.multi_items() if name not in POSITION
            ]
            query = urlencode([*kept, ("after", page.next_after)])
            self.response.headers["Link"] = f'<{self.path}?{query}>; rel="next"'
        if page.total is not None:
            self.response.headers["X-Total-Count"] = str(page.total.rows)
            self.response.headers["X-Total-Count-Is"] = "exact" if page.total.is_exact else "estimated"
        return page.records
