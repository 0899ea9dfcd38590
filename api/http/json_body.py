"""JSON as in RFC 8259, without anything that two parsers may read in two ways.

Python's own parser accepts UTF-16 and `NaN`, and takes the last of two values with the same key: a proxy that checks
requests on their way may have read another value, or none.
"""

import json
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from api.http.findings import TWICE, repeated


def parse(body: bytes) -> Any:
    """The value of the JSON. ValidationError, with one finding, if it is invalid, or has a key twice."""
    try:
        return _decode(body.decode())
    except json.JSONDecodeError as error:
        raise _refused("json_invalid", "JSON decode error: {error}", error.pos, error=error.msg) from error
    except RecursionError as error:
        raise _refused("json_invalid", "JSON decode error: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise _refused("json_invalid", "JSON decode error: it is not UTF-8", error.start) from error
    except _RepeatedKey as error:
        raise _refused("repeated", TWICE, error.key) from error
    except ValueError as error:  # a number with thousands of digits
        raise _refused("json_invalid", "JSON decode error: {error}", error=str(error)) from error


class _RepeatedKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKey(repeated(key for key, _ in pairs)[0])
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).decode


def _refused(kind: Any, message: Any, *loc: str | int, **context: Any) -> ValidationError:
    error = PydanticCustomError(kind, message, context)
    return ValidationError.from_exception_data("body", [InitErrorDetails(type=error, loc=loc, input=None)])
