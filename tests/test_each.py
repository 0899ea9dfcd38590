import inspect

import pytest

from tests.each import each


def test_what_fails_names_its_case_and_those_before_have_passed() -> None:
    tried: list[int] = []

    @each("one, other", [(1, 1), (2, 3), (4, 5)])
    def are_equal(fixture: list[int], one: int, other: int) -> None:
        fixture.append(one)
        assert one == other

    with pytest.raises(AssertionError) as failed:
        are_equal(fixture=tried)
    assert failed.value.__notes__ == ["the case: {'one': 2, 'other': 3}"]
    assert tried == [1, 2]
    assert list(inspect.signature(are_equal).parameters) == ["fixture"]


async def test_a_case_that_is_awaited_fails_as_well_and_so_does_one_that_is_skipped() -> None:
    @each("number", [0, 1])
    async def is_skipped(number: int) -> None:
        if number:
            pytest.skip("only with another Postgres")

    with pytest.raises(AssertionError, match="a case can't be skipped: only with another Postgres"):
        await is_skipped()


def test_no_cases_are_a_mistake() -> None:
    with pytest.raises(AssertionError):
        each("number", [])
