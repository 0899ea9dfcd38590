"""One test for many cases."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest


def each(names: str, cases: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As pytest.mark.parametrize, for cases that share their fixtures: one test goes through all, and names its case.

    A test costs pytest some 3 ms of CPU, which is several times as much as most cases.
    """
    asked = names.replace(" ", "").split(",")
    given = [dict(zip(asked, case if len(asked) > 1 else [case], strict=True)) for case in cases]
    assert given

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(test):

            @wraps(test)
            async def through_all(*args: Any, **fixtures: Any) -> None:
                for case in given:
                    with naming(case):
                        await test(*args, **fixtures, **case)
        else:

            @wraps(test)
            def through_all(*args: Any, **fixtures: Any) -> None:
                for case in given:
                    with naming(case):
                        test(*args, **fixtures, **case)

        signature = inspect.signature(test)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in asked]
        through_all.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return through_all

    return decorate


@contextmanager
def naming(case: dict[str, Any]) -> Iterator[None]:
    """Say of what fails in which case it did. A case that is skipped fails, too, or the others would be skipped."""
    try:
        yield
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"a case can't be skipped: {skipped}, {case}") from skipped
    except BaseException as failure:
        failure.add_note(f"the case: {case}"[:2000])
        raise
