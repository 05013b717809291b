"""Business object types: exact bounds, reasons in the author's words, nothing fetched from outside."""

import json
import socket
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidRequest
from kernel.records import Record
from tests.unit.workflows.catalogue import ROOT, Systems
from workflows.objects import ObjectType

COST_LINE = ObjectType("cost_line", Systems().object_types()["cost_line"])
LINE: Record = {
    "case_id": "c",
    "activity": "a",
    "worker": "w",
    "work_date": date(2024, 3, 1),
    "worked_seconds": 60,
    "amount": Decimal("0.01"),
}


def kind(**rules: Any) -> ObjectType:
    """A type with one property `a`."""
    return ObjectType("thing", {"type": "object", "properties": {"a": rules}})


def said(of: ObjectType, record: Record) -> list[tuple[str, str, str | None]]:
    found = [(fault.code, fault.message, fault.field) for fault in of.faults(record)]
    return sorted(found, key=lambda fault: fault[2] or "")


def test_a_good_record_has_no_faults() -> None:
    assert COST_LINE.accepts(LINE)
    assert COST_LINE.faults(LINE) == []
    assert COST_LINE.required == set(LINE)
    assert COST_LINE.fields == set(LINE)


def test_every_property_that_is_wrong_has_its_fault() -> None:
    record: Record = {
        **LINE,
        "case_id": "",
        "worked_seconds": 0,
        "amount": Decimal(-1),
        "work_date": "1 March",
    }
    assert not COST_LINE.accepts(record)
    assert said(COST_LINE, record) == [
        ("schema_minimum", "amount must be at least 0.", "amount"),
        ("schema_minlength", "case_id must have at least 1 characters.", "case_id"),
        ("schema_format", "work_date must be a date.", "work_date"),
        ("schema_minimum", "worked_seconds must be at least 1.", "worked_seconds"),
    ]


def test_reasons_are_those_of_the_schema_where_it_gives_some() -> None:
    assert said(COST_LINE, {**LINE, "worked_seconds": 86_401, "amount": None}) == [
        ("schema_type", "The ERP has no labour rate for this activity.", "amount"),
        ("schema_maximum", "More than 24 hours of work on one day.", "worked_seconds"),
    ]


@pytest.mark.parametrize(
    ("rules", "value", "reason"),
    [
        ({"type": "string"}, 5, "a must be of type string."),
        ({"type": ["string", "null"]}, 5, "a must be of type string or null."),
        ({"type": "string"}, None, "a must be of type string."),
        ({"minimum": 5}, 4, "a must be at least 5."),
        ({"maximum": 5}, 6, "a must be at most 5."),
        ({"exclusiveMinimum": 5}, 5, "a must be more than 5."),
        ({"exclusiveMaximum": 5}, 5, "a must be less than 5."),
        ({"minLength": 2}, "x", "a must have at least 2 characters."),
        ({"maxLength": 2}, "xyz", "a must have at most 2 characters."),
        ({"pattern": "^[A-Z]$"}, "x", "a must match ^[A-Z]$."),
        ({"enum": ["x", "y"]}, "z", "a must be x or y."),
        ({"const": "x"}, "z", "a must be x."),
        ({"format": "date"}, "z", "a must be a date."),
        ({"format": "email"}, "z", "a must be a email."),
        ({"multipleOf": 5}, 6, "a must be a multiple of 5."),
        ({"not": {"type": "string"}}, "z", "a does not meet the 'not' rule of its type."),
        ({"anyOf": [{"minimum": 5}, {"type": "string"}]}, 1, "a does not meet the 'anyOf' rule of its type."),
        ({"allOf": [{"minimum": 5}]}, 1, "a must be at least 5."),
        ({"minimum": 5, "x-reasons": {"minimum": "Too few."}}, 1, "Too few."),
        ({"allOf": [{"minimum": 5, "x-reasons": {"minimum": "Too few."}}]}, 1, "Too few."),
        ({"minimum": 5, "x-reasons": {"maximum": "Too many."}}, 1, "a must be at least 5."),
        ({"minimum": 5, "x-reasons": "Too few."}, 1, "a must be at least 5."),
    ],
)
def test_each_rule_has_a_sentence(rules: Mapping[str, Any], value: Any, reason: str) -> None:
    assert [fault.message for fault in kind(**rules).faults({"a": value})] == [reason]


@pytest.mark.parametrize(
    ("schema", "record", "fault"),
    [
        ({"required": ["b"]}, {"a": 1}, ("schema_required", "b is missing.", "b")),
        ({"properties": {"a": False}}, {"a": 1}, ("schema_falseschema", "a is not allowed.", "a")),
        (
            {"properties": {"a": True}, "additionalProperties": False},
            {"a": 1, "b": 2},
            ("schema_additionalproperties", "The record has columns that its type does not know.", None),
        ),
        (
            {"minProperties": 2},
            {"a": 1},
            ("schema_minproperties", "The record does not meet the 'minProperties' rule of its type.", None),
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/few"}}, "$defs": {"few": {"maximum": 3}}},
            {"a": 5},
            ("schema_maximum", "a must be at most 3.", "a"),
        ),
    ],
)
def test_rules_of_the_whole_record_have_sentences_too(
    schema: dict[str, Any], record: Record, fault: tuple[str, str, str | None]
) -> None:
    assert said(ObjectType("thing", schema), record) == [fault]


@settings(max_examples=150, deadline=None)
@given(st.decimals(-(2**52), 2**52, places=6), st.integers(-(2**52), 2**52), st.booleans())
def test_bounds_are_compared_exactly(value: Decimal, bound: int, near: bool) -> None:
    limit = int(value) if near else bound
    assert kind(minimum=limit).accepts({"a": value}) is (value >= limit)
    assert kind(exclusiveMaximum=limit).accepts({"a": value}) is (value < limit)


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**36), 10**36), st.integers(-1, 1), st.integers(0, 2))
def test_whole_numbers_are_compared_exactly_however_large(bound: int, step: int, zeros: int) -> None:
    value = Decimal(f"{bound + step}.{'0' * zeros}")
    assert kind(minimum=bound).accepts({"a": value}) is (value >= bound)


def test_bounds_beyond_doubles_are_compared_exactly() -> None:
    most = kind(maximum=9_007_199_254_740_992)
    assert most.accepts({"a": Decimal("9007199254740992.00")})
    assert not most.accepts({"a": Decimal("9007199254740993")})


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**15), 10**15))
def test_whole_cents_are_multiples_of_a_cent(cents: int) -> None:
    assert kind(type="number", multipleOf=0.01).accepts({"a": Decimal(cents).scaleb(-2)})


def test_values_are_judged_as_json_has_them() -> None:
    assert kind(type="string", format="date").accepts({"a": date(2024, 3, 1)})
    east = timezone(timedelta(hours=5, minutes=45))
    assert kind(type="string", format="date-time").accepts({"a": datetime(2024, 3, 1, 12, tzinfo=east)})
    assert kind(type="boolean").accepts({"a": True})
    assert not kind(type="integer").accepts({"a": True})
    assert kind(type="integer").accepts({"a": 2**70})
    assert not kind(type="string").accepts({"a": Decimal("1.5")})


def test_a_fault_carries_the_value_apart_from_its_text() -> None:
    (fault,) = kind(maxLength=2).faults({"a": "canary"})
    assert fault.value == "canary"
    assert "canary" not in fault.message
    (fault,) = kind(type="number").faults({"a": None})
    assert fault.value is None


KEYWORDS = [
    *(
        "type",
        "minimum",
        "maxLength",
        "pattern",
        "enum",
        "const",
        "required",
        "not",
        "anyOf",
        "format",
        "$ref",
    ),
    *("$ref", "additionalProperties", "propertyNames", "minProperties", "x-reasons"),
]
ARGUMENTS: list[Any] = [
    *("string", "number", "date", "^a", 3, 0.5, True, False, [], ["b"], {}, "#/properties/a"),
    *({"type": "string"}, [{"minimum": 5}], {"minimum": "Too few."}),
]


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYWORDS), st.sampled_from(ARGUMENTS), max_size=4),
    st.sampled_from(["a", "", 1, Decimal("1.5"), None, True]),
)
def test_any_schema_is_refused_or_judges(rules: dict[str, Any], value: Any) -> None:
    try:
        of = ObjectType("thing", {**rules, "properties": {"a": rules}})
    except InvalidRequest:
        return
    faults = of.faults({"a": value})
    assert of.accepts({"a": value}) is (faults == [])
    assert all(fault.message and fault.code.startswith("schema_") for fault in faults)


@pytest.mark.parametrize("schema", [{"type": "money"}, {"minimum": "5"}, {"required": "a"}, {"$ref": "#/no"},
                                    {"properties": {"a": {"pattern": "("}}}, {"properties": []}])  # fmt: skip
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="The schema of 'thing' is not a JSON Schema: "):
        ObjectType("thing", schema)


def test_a_reference_reads_no_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "string"}')
    with pytest.raises(InvalidRequest):
        ObjectType("thing", {"$ref": path.as_uri()})


def test_a_reference_calls_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        with pytest.raises(InvalidRequest):
            ObjectType("thing", {"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"})
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_examples_are_schemas() -> None:
    for path in (ROOT / "examples" / "object_types").glob("*.json"):
        assert ObjectType(path.stem, json.loads(path.read_text())["schema"]).fields
