"""How many chunks may fail: counts as they are, percentages of all chunks rounded down."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workflows.model import Dispatch
from workflows.tolerance import parse_tolerance


def dispatch(tolerate: object) -> Dispatch:
    return Dispatch.model_validate({"over": "a", "key": ["n"], "workflow": "w", "tolerate": tolerate})


@given(st.integers(0, 10**9), st.integers(0, 10**7))
def test_a_count_does_not_depend_on_the_number_of_chunks(count: int, total: int) -> None:
    assert parse_tolerance(dispatch(count).tolerate, total) == count


@given(st.decimals(0, 100, places=4), st.integers(0, 10**9))
def test_a_percentage_is_the_largest_whole_number_within_it(percent: Decimal, total: int) -> None:
    share = f"{percent.normalize():f}%"
    allowed = parse_tolerance(dispatch(share).tolerate, total)
    assert allowed <= Fraction(percent) / 100 * total < allowed + 1


@pytest.mark.parametrize(
    ("tolerate", "total", "allowed"),
    [("5%", 100, 5), ("5%", 119, 5), ("5%", 19, 0), ("100%", 7, 7), ("0%", 10**9, 0), ("33.3333%", 3, 0)],
)
def test_percentages_round_down(tolerate: str, total: int, allowed: int) -> None:
    assert parse_tolerance(tolerate, total) == allowed


@pytest.mark.parametrize(
    "wrong",
    ["5", "101%", "-1%", -1, True, 1.5, None, "%", "5 %", "five%", "5%\n", "\u0665%", "1.23456%", [5]],
)
def test_what_is_neither_is_refused_with_an_example(wrong: object) -> None:
    with pytest.raises(ValidationError, match="such as 3, or a percentage of all chunks as `5%`"):
        dispatch(wrong)
