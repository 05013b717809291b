"""Conditions and templates: exact or refused, never a guess, and silent about record values."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidData, InvalidRequest
from workflows.expressions import (
    MAX_CHARACTERS,
    MAX_DIGITS,
    Refusal,
    compile_expression,
    evaluate,
    fill,
    holds,
    template_expressions,
    try_out,
    variables,
)

CANARY = "canary-4711"
SHORT = st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1)
EXACT = st.builds(lambda digits, places: Decimal(digits).scaleb(-places), SHORT, st.integers(0, 10))
VALUES: dict[str, Any] = {
    "inputs": {"limit": Decimal("2500.00"), "file": "a.csv", "week": date(2024, 3, 1), "none": None},
    "costs": {"records": 3, "amount": Decimal("1000.10")},
    "flag": True,
    "seen": datetime(2024, 3, 1, 12, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("costs.records", 3),
        ("costs.records + 1", 4),
        ("costs.amount < inputs.limit", True),
        ("costs.amount == 1000.1", True),
        ("inputs.file.endsWith('.csv')", True),
        ("inputs.week", "2024-03-01"),
        ("inputs.week < '2024-04-01'", True),
        ("seen", "2024-03-01T12:00:00+00:00"),
        ("inputs.none == null", True),
        ("has(costs.tax)", False),
        ("flag && costs.records in [1, 3]", True),
        ("[1, 2, 3].exists(x, x == costs.records)", True),
        ("costs['amount'] > 5.0 ? 'much' : 'little'", "much"),
    ],
)
def test_values_come_out_as_cel_has_them(text: str, value: Any) -> None:
    assert evaluate(text, VALUES) == value
    assert try_out(text, VALUES) == value


@settings(max_examples=150, deadline=None)
@given(EXACT, EXACT)
def test_decimals_of_up_to_15_digits_compare_as_decimals_do(first: Decimal, second: Decimal) -> None:
    values = {"a": first, "b": second}
    assert holds("a < b", values) is (first < second)
    assert holds("a == b", values) is (first == second)


@settings(max_examples=80, deadline=None)
@given(st.integers(10**MAX_DIGITS, 10**38 - 1), st.integers(0, 20))
def test_a_longer_decimal_is_refused(digits: int, places: int) -> None:
    assume(digits % 10)
    with pytest.raises(InvalidData, match="15 digits") as caught:
        holds("a > 0.0", {"a": Decimal(digits).scaleb(-places, Context(prec=40))})
    assert str(digits) not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["100000000000000000000", "0.000000000000000000000000000000123", "1E+30", "-0.00"]
)
def test_zeros_at_either_end_are_no_digits(value: str) -> None:
    assert evaluate("a", {"a": Decimal(value)}) == float(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_longer_integer_is_refused(value: int) -> None:
    with pytest.raises(InvalidData, match="64 bits"):
        holds("a > 0", {"a": value})
    assert holds("a == b", {"a": 2**63 - 1, "b": 2**63 - 1})


def test_values_that_an_expression_does_not_read_do_not_matter() -> None:
    assert holds("n > 1", {"n": 2, "long": {"total": Decimal("12345678901234567.89")}})


@pytest.mark.parametrize(
    "text", ["costs.records", "inputs.file", "null", "inputs.none", "'true'", "1", "[true]"]
)
def test_a_condition_is_true_or_false_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidData, match="not true or false"):
        holds(text, VALUES)


UNFIT = {
    "costs.tax > 1": "names 'tax', which is not there",
    "costs['tax']": "names 'tax', which is not there",
    "nothing": "'nothing'",
    "nothing.at.all": "'nothing'",
    "costs.tax()": "'tax'",
    "no_function(1)": "'no_function'",
    "costs.records > 'a'": "not defined for the given operand types",
    "costs.records + costs.amount": "not defined for the given operand types",
    "inputs.none > 1": "not defined for the given operand types",
    "inputs.file + 1": "string + int",
    "!costs.records": "not defined",
}
UNLUCKY = {
    "1 / (costs.records - 3)": "divides by zero",
    "costs.records % 0": "divides by zero",
    "9223372036854775807 + costs.records": "out of range",
    "[1, 2][costs.records]": "out of range",
    "int(inputs.file)": "'int' does not accept the value",
    "timestamp(inputs.file)": "'timestamp' does not accept the value",
    "duration(inputs.file)": "'duration' does not accept the value",
    "'x'.matches(inputs.file + '(')": "'matches' does not accept the value",
    "costs[inputs.file]": "names what is not there",
}


@pytest.mark.parametrize(("text", "said"), [*UNFIT.items(), *UNLUCKY.items()])
def test_what_cannot_be_evaluated_is_an_error_that_says_why(text: str, said: str) -> None:
    with pytest.raises(InvalidData) as caught:
        evaluate(text, VALUES)
    assert said in caught.value.message
    assert repr(text) in caught.value.message
    refusal = try_out(text, VALUES)
    assert isinstance(refusal, Refusal)
    assert refusal.certain is (text in UNFIT)


@pytest.mark.parametrize(
    "text",
    ["int(a)", "double(a)", "timestamp(a)", "duration(a)", "'x'.matches(a + '[')", "a + 1", "a > 1", "m[a]",
     "a.b", "[1][n]", "n * n", "n - n - 9223372036854775807 - n", "-a", "a[0]", "a ? 1 : 2", "a()"],
)  # fmt: skip
def test_an_error_tells_no_values(text: str) -> None:
    with pytest.raises(InvalidData) as caught:
        evaluate(text, {"a": CANARY, "m": {"x": CANARY}, "n": 4_711_000_000_000})
    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.to_dict()}"
    assert "4711" not in str(caught.value)


def test_an_expression_compiled_in_one_thread_runs_in_others() -> None:
    compile_expression("n * 2 > limit")
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda n: holds("n * 2 > limit", {"n": n, "limit": 100}), range(100))
        assert list(found) == [n * 2 > 100 for n in range(100)]


@pytest.mark.parametrize(
    "text", ["", "  ", "1 +", "a b", "(a", "a..b", "'open", "1e400", "a = 1", "${{ a }}", "#"]
)
def test_what_does_not_parse_is_the_authors_fault(text: str) -> None:
    with pytest.raises(InvalidRequest, match="does not parse"):
        compile_expression(text)


@pytest.mark.parametrize("part", ["1+", "(", "!", "a.", "[", "a&&", "-", "a?", "x("])
def test_a_long_expression_is_refused_before_it_can_hurt(part: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{MAX_CHARACTERS:,} is the most"):
        compile_expression(part * 100_000)
    longest = part * ((MAX_CHARACTERS - 2) // len(part)) + "1"
    with suppress(InvalidRequest):
        try_out(longest, {"a": 1})


def test_variables_are_the_names_at_the_root() -> None:
    assert variables("inputs.a > steps.b.c && [1].all(x, x > n)") >= {"inputs", "steps", "n"}
    assert variables("1 + 1") == frozenset()


SYNTAX = [
    *(
        "a",
        "b",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "1",
        "1.5",
        "'x'",
        '"',
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        "==",
    ),
    *("&&", "||", "!", "?", ":", ",", "in", "null", "true", "size(", "int(", ".all(x,", "has(", "b'"),
    *(" ", "\n", "é", "\\", "0u", "timestamp(", "9223372036854775807"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SYNTAX), max_size=12).map("".join))
def test_any_text_gives_a_value_or_a_refusal(text: str) -> None:
    try:
        compile_expression(text)
    except InvalidRequest:
        return
    found = try_out(text, {"a": 1, "b": {"a": "x", "c": [1, 2]}})
    assert not isinstance(found, Refusal) or found.reason.endswith(".")


# Templates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_text", "filled"),
    [
        ("plain", "plain"),
        ("${{ inputs.file }}", "a.csv"),
        ("${{inputs.file}}", "a.csv"),
        (" ${{ costs.records }} ", 3),
        ("${{ flag }}", True),
        ("${{ inputs.none }}", None),
        ("${{ inputs.week }}", "2024-03-01"),
        ("logs/${{ inputs.week }}/${{ inputs.file }}", "logs/2024-03-01/a.csv"),
        ("${{ inputs.week }}/${{ inputs.file }}", "2024-03-01/a.csv"),
        ("${{ costs.records }}${{ costs.records }}", "33"),
        ("${{ costs.records + 1 }} lines, ${{ flag }}, ${{ inputs.none }}", "4 lines, true, null"),
        ("limit ${{ inputs.limit }}, total ${{ costs.amount }}", "limit 2500.00, total 1000.10"),
        ("twice ${{ costs.amount * 2.0 }}", "twice 2000.2"),
        ("$ {{ inputs.file }} }} {{", "$ {{ inputs.file }} }} {{"),
        ("a\n${{ inputs.file\n}}\nb", "a\na.csv\nb"),
        (5, 5),
        (None, None),
        (["${{ costs.records }}", {"x": "${{ flag }}"}], [3, {"x": True}]),
        (
            {"path": "${{ inputs.file }}", "columns": {"a": "text"}},
            {"path": "a.csv", "columns": {"a": "text"}},
        ),
    ],
)
def test_templates_are_filled(given_text: Any, filled: Any) -> None:
    found = fill(given_text, VALUES)
    assert found == filled
    assert type(found) is type(filled)


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(0, 12))
def test_a_decimal_that_is_only_named_stays_exactly_what_it_is(digits: int, places: int) -> None:
    value = Decimal(digits).scaleb(-places)
    whole = fill("${{ costs.amount }}", {"costs": {"amount": value}})
    assert isinstance(whole, Decimal)
    assert whole.as_tuple() == value.as_tuple()
    assert fill("is ${{ costs.amount }}", {"costs": {"amount": value}}) == f"is {value:f}"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", " b ", "-", "\n", "}}", "{{", "$", "'"]), max_size=6).map("".join))
def test_text_around_templates_is_kept(text: str) -> None:
    assume("${{" not in text)
    assert fill(f"<{text}${{{{ 'x' }}}}{text}>", {}) == f"<{text}x{text}>"
    assert list(template_expressions(f"<{text}${{{{ 'x' }}}}{text}>")) == ["'x'"]


@pytest.mark.parametrize(
    ("given_text", "expressions"),
    [
        ("${{ a }} and ${{ b.c > 1 }}", ["a", "b.c > 1"]),
        ({"x": ["${{ a }}", "no"], "y": {"z": "${{ b }}"}}, ["a", "b"]),
        (5, []),
        ("${{ a }", ["${{ a }"]),
        ("${{ a }} ${{ b", ["a", "${{ b"]),
        ("${{ ${{ a }}", ["a", "${{  "]),
    ],
)
def test_all_expressions_are_found_and_unclosed_ones_do_not_parse(
    given_text: Any, expressions: list[str]
) -> None:
    found = list(template_expressions(given_text))
    assert found == expressions
    for text in found:
        if text.startswith("${{"):
            with pytest.raises(InvalidRequest):
                compile_expression(text)


def test_looking_for_templates_takes_no_time() -> None:
    assert len(list(template_expressions("${{" * 80_000))) == 1
    assert fill("${{ " * 80_000, {}) == "${{ " * 80_000


def test_a_template_that_cannot_be_filled_is_an_error() -> None:
    with pytest.raises(InvalidData, match="'tax'"):
        fill({"path": ["a", "${{ costs.tax }}"]}, VALUES)
