"""What a run is started with: every fault at once, nothing that later parts cannot hold."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidRequest
from kernel.records import Records, parse_columns
from tests.unit.workflows.catalogue import ENGINE
from workflows.inputs import check_inputs, is_of_type, parse_input, parse_inputs
from workflows.model import Input, Workflow

WORKFLOW = Workflow.model_validate(
    {
        "workflow": "w",
        "inputs": {
            "file": {"type": "text"},
            "lines": {"type": "integer"},
            "limit": {"type": "decimal", "default": "2500.00"},
            "dry": {"type": "boolean", "required": False},
            "day": {"type": "date", "required": False},
        },
        "steps": [{"key": "a", "transform": {"sql": "SELECT 1 AS n"}}],
    }
)
GIVEN = {"file": "a.csv", "lines": 3}


def test_defaults_fill_in_what_is_not_given() -> None:
    assert check_inputs(WORKFLOW, GIVEN) == {
        "file": "a.csv",
        "lines": 3,
        "limit": "2500.00",
        "dry": None,
        "day": None,
    }


def test_given_values_go_before_defaults() -> None:
    stored = check_inputs(WORKFLOW, {**GIVEN, "limit": 5, "dry": False, "day": "2024-02-29"})
    assert parse_inputs(WORKFLOW, stored) == {
        "file": "a.csv",
        "lines": 3,
        "limit": Decimal(5),
        "dry": False,
        "day": date(2024, 2, 29),
    }


def test_inputs_that_were_not_given_are_null() -> None:
    assert parse_inputs(WORKFLOW, {}) == dict.fromkeys(WORKFLOW.inputs)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_inputs(WORKFLOW, {"fil": "a.csv", "lines": "3", "limit": 2.5, "dry": "yes", "day": "1 March"})
    assert [(fault.code, fault.path) for fault in caught.value.faults] == [
        ("unknown_input", "inputs.fil"),
        ("missing_input", "inputs.file"),
        ("invalid_input", "inputs.lines"),
        ("invalid_input", "inputs.limit"),
        ("invalid_input", "inputs.dry"),
        ("invalid_input", "inputs.day"),
    ]
    assert all(fault.hint for fault in caught.value.faults)
    assert caught.value.faults[0].hint == "Did you mean 'file'?"


def test_no_fault_tells_a_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_inputs(WORKFLOW, {"file": 4711, "lines": "canary", "limit": "canary", "day": "canary"})
    assert "canary" not in str(caught.value.to_dict())
    assert "4711" not in str(caught.value.to_dict())


def test_null_for_a_required_input_is_missing() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_inputs(WORKFLOW, {"file": None, "lines": 3})
    assert [fault.code for fault in caught.value.faults] == ["missing_input"]


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("text", "", ""),
    ("text", "Ünal 😀\n", "Ünal 😀\n"),
    ("integer", 0, 0),
    ("integer", -(2**63), -(2**63)),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("decimal", "50.00", Decimal("50.00")),
    ("decimal", "-0.1", Decimal("-0.1")),
    ("decimal", "+7", Decimal(7)),
    ("decimal", 7, Decimal(7)),
    ("decimal", "9" * 28 + "." + "9" * 10, Decimal("9" * 28 + "." + "9" * 10)),
    ("boolean", True, True),
    ("boolean", False, False),
    ("date", "2024-02-29", date(2024, 2, 29)),
]
REFUSED: list[tuple[str, Any]] = [
    ("text", 5),
    ("text", True),
    ("text", ["a"]),
    ("text", "a\0b"),
    ("text", "\ud800"),
    ("integer", "5"),
    ("integer", True),
    ("integer", 5.0),
    ("integer", 2**63),
    ("integer", -(2**63) - 1),
    ("decimal", 2.5),
    ("decimal", True),
    ("decimal", ""),
    ("decimal", "1,5"),
    ("decimal", "1_000"),
    ("decimal", " 1"),
    ("decimal", "1e5"),
    ("decimal", "1e999999999"),
    ("decimal", "NaN"),
    ("decimal", "Infinity"),
    ("decimal", "٣"),
    ("decimal", "1."),
    ("decimal", "1" * 29),
    ("decimal", 10**28),
    ("decimal", "0." + "1" * 11),
    ("boolean", 1),
    ("boolean", "true"),
    ("date", "2024-02-30"),
    ("date", "29.02.2024"),
    ("date", "2024-02-29T00:00:00"),
    ("date", 20240229),
    ("date", ""),
]


@pytest.mark.parametrize(("kind", "value", "parsed"), ACCEPTED)
def test_values_are_read_as_their_type(kind: str, value: Any, parsed: Any) -> None:
    found = parse_input(kind, value)
    assert found == parsed
    assert type(found) is type(parsed)
    assert is_of_type(Input.model_validate({"type": kind}), value)


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_other_values_are_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^(not |Invalid isoformat|.*is out of range|.*must be in)"):
        parse_input(kind, value)
    assert not is_of_type(Input.model_validate({"type": kind}), value)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["text", "integer", "decimal", "boolean", "date"]), st.from_type(object) | st.text())
def test_any_value_is_of_the_type_or_not(kind: str, value: Any) -> None:
    assert is_of_type(Input.model_validate({"type": kind}), value) in (True, False)


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"-?\d{1,28}(\.\d{1,10})?", fullmatch=True, alphabet=st.characters(codec="ascii")))
def test_every_decimal_that_is_accepted_fits_a_column(text: str) -> None:
    value = parse_input("decimal", text)
    records = Records(parse_columns({"d": "decimal"}), [{"d": value}])
    assert ENGINE.run("SELECT d FROM t", {"t": records}).rows == records.rows
