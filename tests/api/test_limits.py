"""The limits in use are those that the documents promise: other tests lower them, because reaching them takes long."""

import re

from api.crud.imports import batches
from api.database import counts, json_rows, workers
from api.http import compression
from api.schemas import fields, text
from api.server import request_head
from tests.conftest import ROOT
from tests.each import each

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds


def said(*pages: str) -> str:
    """The text of these documents, on one line."""
    return re.sub(r"\s+", " ", "".join((ROOT / "docs" / f"{page}.md").read_text() for page in pages))


@each(
    "sentence, in_use, limits",
    [
        ("1 to 100, by default 100. A page has a megabyte at most", [fields.PAGE_SIZE, json_rows.MAX_PAGE_BYTES],
         [100, 1_000_000]),
        ("`offset` | up to 10,000", [fields.MAX_OFFSET], [10_000]),
        ("a part of the name, of 2 characters or more", [text.MIN_PART], [2]),
        ("`estimated`: above 10,000", [counts.MAX_EXACT], [10_000]),
        ("up to 200 characters. What can't be seen", [text.MAX_LINE], [200]),
        ("up to 10,000 characters on any number of lines", [text.MAX_PROSE], [10_000]),
        ("Answers of over 1 KB are compressed", [compression.LEAST_BYTES], [1_024]),
        ("the URL is longer than 8 KiB; the head is over 32 KiB, or has over 100 fields",
         [request_head.MAX_REQUEST_LINE_BYTES, request_head.MAX_HEAD_BYTES, request_head.MAX_FIELDS],
         [8 * 1_024, 32 * 1_024, 100]),
        ("says every 10 s that it is there", [workers.SEEN_SECONDS], [10]),
        ("in batches of 5,000, or of a million characters", [batches.BATCH_ROWS, batches.BATCH_CHARACTERS],
         [5_000, 2**20]),
    ],
)  # fmt: skip
def test_a_limit_is_the_one_in_the_documents(sentence: str, in_use: list[float], limits: list[float]) -> None:
    assert sentence in said("api", "migrations")
    assert in_use == limits
