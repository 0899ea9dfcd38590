"""An answer that is a CSV file, sent while it is made."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

MEDIA_TYPE = "text/csv"
CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, in UTF-8 with a byte order mark. It begins with the names of the fields.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


class CsvResponse(StreamingResponse):
    """A file that browsers store under this name."""

    media_type = MEDIA_TYPE

    def __init__(self, parts: AsyncIterator[bytes], name: str) -> None:
        super().__init__(parts, headers={"Content-Disposition": f'attachment; filename="{name}"'})
