"""The one form in which text is stored, searched and compared: what looks the same is the same.

Unicode writes much in several ways: `ë` is one character or two, and some characters can't be seen at all. All text is
in normal form C (UAX #15), and what only looks empty is empty. A text of one line, such as a name, has no control
characters, and nothing that shows it in another order than it has. Joiners, which emoji and Indic and Persian scripts
need, stay where they are.
"""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_LINE, MAX_PROSE = 200, 10_000  # characters
MIN_PART = 2  # of what is searched for: an index has pairs of characters
# UAX #15, section 13: no language needs more. To sort longer runs takes the square of their length.
MAX_MARKS = 30

# What can't be seen: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, and what is as wide as a
# letter but has no ink: Braille's blank, the Khitan filler, the null notehead. Of these, what belongs to the character
# before it:
_ATTACHED = "\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef"
_BLANK = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0"
    "\ufff0-\ufff8\U00016fe4\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e001f"
    "\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)
# Controls; separators of lines; embeddings, overrides and isolates of direction; deprecated and interlinear formats.
_REFUSED = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"

_at_start = re.compile(rf"[\s{_BLANK}{_ATTACHED}]+").match
_at_end = re.compile(rf"[\s{_BLANK}]+\Z")
_line_breaks = re.compile("[\xad\u200b\u2060\ufeff]")  # say only where a line may end
_refused = re.compile(f"[{_REFUSED}]").search
_surrogate = re.compile("[\ud800-\udfff]").search
_unseen = re.compile(rf"[\s{_BLANK}{_ATTACHED}]+")

# For the OpenAPI document. Its classes have no characters beyond U+FFFF, because they can't be written for all readers.
_INK = (
    rf"[^\s{_REFUSED}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8]"
)


def normal_form(value: str) -> str:
    """`value` in normal form C. ValueError if it contains what Postgres can't store, a NUL or half a surrogate pair, or
    more than MAX_MARKS marks in a row.
    """
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    if value.isascii():
        return value
    if _surrogate(value):
        raise ValueError("must not contain half of a surrogate pair")
    if unicodedata.is_normalized("NFC", value):
        return value
    marks = 0
    for character in value:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MAX_MARKS:
            raise ValueError(f"must not have more than {MAX_MARKS} combining marks in a row")
    return unicodedata.normalize("NFC", value)


def one_line(value: str) -> str:
    """`value` as a text of one line: in normal form, without what can't be seen around it, and without hints where a
    line may end. ValueError if it contains a control character, or one that changes the direction of others.
    """
    if value.isascii() and value.isprintable():
        value = value.strip()
    else:
        value = normal_form(_line_breaks.sub("", value))
        if start := _at_start(value):
            value = value[start.end() :]
        value = _at_end.sub("", value)
        if found := _refused(value):
            name = f"U+{ord(found[0]):04X}"
            raise ValueError(f"must not contain control characters, nor any that change its direction: {name}")
    if len(value) > MAX_LINE:
        raise _too_long(MAX_LINE)
    return value


def name(value: str) -> str:
    """`value` as a line that is not empty."""
    value = one_line(value)
    if not value:
        raise ValueError("must not be empty or blank")
    return value


def part(value: str) -> str:
    """`value` as a line that can be searched for by an index."""
    value = one_line(value)
    if len(value) < MIN_PART:
        raise ValueError(f"must have at least {MIN_PART} characters")
    return value


def prose(value: str) -> str:
    """`value` as a text of any number of lines: in normal form, and empty if nothing can be seen."""
    value = normal_form(value)
    if len(value) > MAX_PROSE:
        raise _too_long(MAX_PROSE)
    if value[:1].isascii() and value[:1].isalnum():  # the usual case
        return value
    return "" if (start := _at_start(value)) and start.end() == len(value) else value


def visible_length(value: str) -> int:
    """How many characters of `value` can be seen; white space counts as one, however wide, and not at the ends."""
    seen = _unseen.sub(" ", unicodedata.normalize("NFC", value)).strip()
    return sum(unicodedata.category(character) not in {"Mn", "Me", "Cc", "Cf"} for character in seen)


def _too_long(most: int) -> PydanticCustomError:
    return PydanticCustomError(
        "string_too_long", "String should have at most {max_length} characters", {"max_length": most}
    )


Name = Annotated[
    str,
    AfterValidator(name),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_LINE, "pattern": f"^[^{_REFUSED}]*{_INK}[^{_REFUSED}]*$"},
        mode="validation",
    ),
]
"""A required text of one line, of 1 to 200 characters."""

Line = Annotated[
    str,
    AfterValidator(one_line),
    WithJsonSchema({"type": "string", "maxLength": MAX_LINE, "pattern": f"^[^{_REFUSED}]*$"}, mode="validation"),
]
"""An optional text of one line, of up to 200 characters."""

SearchText = Annotated[
    str,
    AfterValidator(part),
    WithJsonSchema(
        {"type": "string", "minLength": MIN_PART, "maxLength": MAX_LINE, "pattern": f"^{_INK}{{2,}}$"},
        mode="validation",
    ),
]
"""A part of a line, of 2 to 200 characters."""

Prose = Annotated[
    str,
    AfterValidator(prose),
    WithJsonSchema({"type": "string", "maxLength": MAX_PROSE, "pattern": r"^[^\x00]*$"}, mode="validation"),
]
"""An optional text of up to 10,000 characters."""
