"""The head of a request is accepted up to each limit, and refused beyond it: tests/processes/test_wire.py sends it."""

import pytest

from api.server.request_head import END, Refused, check, find_end
from tests.each import each

HOST = [(b"host", b"zoo")]


def head(line: int, rest: int) -> bytes:
    """A head with a request line, and further lines, of this many bytes."""
    first = b"GET /".ljust(line - 2, b"x") + b"\r\n"
    return first + b"X: ".ljust(rest - 4, b"y") + END


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(8 * 1024, 100), None),
        (head(8 * 1024 + 1, 100), 414),
        (head(100, 32 * 1024 - 100), None),
        (head(100, 32 * 1024 - 99), 431),
    ],
    ids=["URL", "longer URL", "head", "longer head"],
)
@pytest.mark.parametrize("start", [0, 10])
def test_its_bytes_are_counted_from_where_it_begins(data: bytes, status: int | None, start: int) -> None:
    before = b"x" * start
    if status is None:
        assert find_end(before + data + b"body", start) == start + len(data)
        return
    for received in (data, data[:-1] + b"x"):  # also if it is not complete
        with pytest.raises(Refused) as caught:
            find_end(before + received, start)
        assert caught.value.status == status


def test_its_fields_are_counted() -> None:
    assert check(HOST + [(b"x", b"")] * 99, "1.1") == 0
    with pytest.raises(Refused) as caught:
        check(HOST + [(b"x", b"")] * 100, "1.1")
    assert caught.value.status == 431


@each(
    "fields, version, status",
    [
        ([], "1.1", 400), ([], "1.0", None), (HOST * 2, "1.1", 400), (HOST * 2, "1.0", 400), (HOST, "2.0", 505),
        ([(b"host", b"zoo/x")], "1.1", 400), ([(b"host", b"user@zoo")], "1.1", 400), ([(b"host", b"")], "1.1", None),
        ([*HOST, (b"transfer-encoding", b"chunked")], "1.0", 400),
        ([*HOST, (b"transfer-encoding", b"gzip, chunked")], "1.1", 501),
    ],
)  # fmt: skip
def test_what_two_servers_may_read_differently_is_refused(
    fields: list[tuple[bytes, bytes]], version: str, status: int | None
) -> None:
    if status is None:
        assert check(fields, version) == 0
        return
    with pytest.raises(Refused) as caught:
        check(fields, version)
    assert caught.value.status == status


def test_it_says_how_long_the_body_is() -> None:
    assert check([*HOST, (b"content-length", b"17")], "1.1") == 17
    assert check([*HOST, (b"transfer-encoding", b" Chunked ")], "1.1") is None
