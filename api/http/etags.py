"""Entity tags (RFC 9110, sections 8.8.3 and 13.1), by which a client says which state of a record it has seen.

A tag is a hash of an answer's bytes, and needs no column and no query: to check whether a record is still as a client
has seen it, the record is serialized as in the answer, and the hashes are compared.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import xxhash
from pydantic import TypeAdapter
from starlette.types import Scope

from api.errors import PreconditionFailed

# A compressed answer has other bytes, and so another tag, but it stands for the same state of the record.
GZIP = b'-gzip"'

_TAGS = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def tag_of(body: bytes, link: bytes = b"") -> bytes:
    """The tag of an answer and of its Link header, if any, which shows whether a page is the last."""
    digest = xxhash.xxh3_64(body)
    if link:
        digest.update(link)
    return b'"%b"' % digest.hexdigest().encode()


def gzipped(tag: bytes) -> bytes:
    """The tag of the same answer, compressed."""
    return tag[:-1] + GZIP


def header(scope: Scope, name: bytes) -> bytes:
    """A request's header whose value is a list: all of its lines, joined."""
    return b",".join(value for key, value in scope["headers"] if key == name)


def has_seen(if_none_match: bytes, tag: bytes) -> bool:
    """Whether a client that sends this already has the answer with this `tag` (section 13.1.2)."""
    tag = tag.removeprefix(b"W/")
    return if_none_match.strip() == b"*" or any(tag == found for _, found in _TAGS.findall(if_none_match))


class IfMatch:
    """A client's If-Match: the state that a record has to be in before it is changed."""

    def __init__(self, value: bytes | None) -> None:
        self.value = value

    def __bool__(self) -> bool:
        """Whether the client sent one."""
        return self.value is not None

    def require(self, record: Any) -> None:
        """PreconditionFailed if `record`, which is what an answer would have, is not as the client has seen it.

        Weak tags never match (section 13.1.1).
        """
        if self.value is None or self.value.strip() == b"*":
            return
        if _written(record) not in set(self._strong()):
            raise PreconditionFailed("It is not, or no longer, as If-Match says: read it again")

    def _strong(self) -> Iterable[bytes]:
        return (tag.replace(GZIP, b'"') for weak, tag in _TAGS.findall(self.value or b"") if not weak)


def _written(record: Any) -> bytes:
    return tag_of(_adapter(record.__class__).dump_json(record))


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)
