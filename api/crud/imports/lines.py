"""From the bytes of a file to its lines: which encoding it has, and where it has another one."""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, cast

MAX_LINE = 2**20  # characters
HOW_TO_SAVE = 'save it as "CSV UTF-8" (Excel), or as CSV with the character set UTF-8 (LibreOffice, Google Sheets)'

_NOT_TEXT = {
    b"PK\x03\x04": "an Excel or OpenDocument file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "a file compressed by gzip: unpack it first",
    b"%PDF": "a PDF",
}
_not_utf_8 = re.compile("[\udc80-\udcff]").search  # what errors="surrogateescape" makes of such a byte


class Unreadable(Exception):
    """The file can't be read; the message says where, why, and how to save it."""


def read_lines(file: IO[bytes]) -> Iterator[str]:
    """The lines of a file in UTF-8 or UTF-16, with their ends; Unreadable if it is neither."""
    buffered = io.BufferedReader(cast("io.RawIOBase", file))  # a reader of bytes has what it needs
    head = buffered.peek(4)[:4]
    for start, what in _NOT_TEXT.items():
        if head.startswith(start):
            raise Unreadable(f"this is {what}, not CSV: {HOW_TO_SAVE}")
    encoding = _encoding(head)
    text = io.TextIOWrapper(buffered, encoding, "surrogateescape" if encoding == "utf-8-sig" else "strict", newline="")
    number = 0
    try:
        while line := text.readline(MAX_LINE):
            number += 1
            if not line.isascii() and (found := _not_utf_8(line)):
                raise Unreadable(_about(number, found))
            if len(line) == MAX_LINE:
                raise Unreadable(f"line {number}: longer than {MAX_LINE:,} characters: this is not CSV")
            yield line
    except UnicodeDecodeError as error:
        raise Unreadable(f"after line {number}: not {encoding.upper()}: {HOW_TO_SAVE}") from error
    finally:
        with suppress(ValueError):  # it is closed already
            text.detach().detach()  # otherwise the file, which is somebody else's, would be closed with these


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a byte order mark: the header begins with a letter of ASCII.
    if len(head) > 1 and not head[0] and head[1]:
        return "utf-16-be"
    if len(head) > 1 and head[0] and not head[1]:
        return "utf-16-le"
    return "utf-8-sig"


def _about(number: int, found: re.Match[str]) -> str:
    byte = bytes([ord(found[0]) - 0xDC00])
    windows = byte.decode("cp1252", errors="ignore")
    maybe = f", which is {windows!r} in Windows-1252" if windows else ""
    return (
        f"line {number}, character {found.start() + 1}: byte 0x{byte.hex().upper()} is not UTF-8{maybe}: {HOW_TO_SAVE}"
    )
