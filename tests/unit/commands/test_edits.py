"""Edits of records: what a column holds comes through exactly, anything else is refused without its value."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.edits import edited
from kernel.records import Column, Value
from store.envelope import Envelope
from store.letter_payloads import Payload, seal, unseal
from workflows.rows import plain

COLUMNS = (
    Column.parse("name", "text"),
    Column.parse("hours", "integer"),
    Column.parse("amount", "decimal(18,2)"),
    Column.parse("paid", "boolean"),
    Column.parse("day", "date"),
    Column.parse("at", "timestamp"),
)
EMPTY: dict[str, Value] = dict.fromkeys((column.name for column in COLUMNS), None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
RECORDS = st.fixed_dictionaries(
    {
        "name": st.none() | TEXTS,
        "hours": st.none() | st.integers(-(2**63), 2**63 - 1),
        "amount": st.none() | st.integers(-(10**17), 10**17).map(lambda cents: Decimal(cents).scaleb(-2)),
        "paid": st.none() | st.booleans(),
        "day": st.none() | st.dates(),
        "at": st.none() | st.datetimes(timezones=st.just(UTC)),
    }
)


@settings(max_examples=200, deadline=None)
@given(RECORDS)
def test_what_a_column_holds_comes_through_an_edit_and_a_seal(record: dict[str, Value]) -> None:
    given_as_json = json.loads(json.dumps(record, default=plain))
    new, faults = edited(Payload(COLUMNS, dict(EMPTY), frozenset({"name"})), given_as_json, "/edit")
    assert (faults, new.record) == ([], record)
    envelope, run_id = Envelope(b"k" * 32), UUID(int=7)
    assert unseal(envelope, seal(envelope, new, run_id), run_id) == new


WRONG: dict[str, Any] = {
    "name": [1, True, 1.5, ["x"], {}, "a\x00b"],
    "hours": ["1", True, Decimal("1.5"), 2**63],
    "amount": ["", "1,5", "1e3", "NaN", "Infinity", "1.005", "9" * 17, True, "٣"],
    "paid": [0, "true"],
    "day": ["", "20240301", "2024-02-30", "2024-W09-5", 20240301, "2024-03-01T00:00:00Z"],
    "at": ["2024-03-01", "2024-03-01T08:00:00", "now", 0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_what_a_column_does_not_hold_is_refused_without_its_value(name: str, value: Any) -> None:
    payload = Payload(COLUMNS, {**EMPTY, "day": date(2024, 3, 1)}, frozenset())
    new, [fault] = edited(payload, {name: value}, "/edit")
    assert (fault.code, fault.path, fault.value) == ("wrong_type", f"/edit/{name}", None)
    assert new.record == payload.record


def test_a_payload_that_was_moved_to_another_run_does_not_open() -> None:
    envelope = Envelope(b"k" * 32)
    sealed = seal(envelope, Payload(COLUMNS, dict(EMPTY), frozenset()), UUID(int=1))
    with pytest.raises(Exception, match="cannot be opened"):
        unseal(envelope, sealed, UUID(int=2))


def test_a_payload_shows_no_values() -> None:
    payload = Payload(COLUMNS, {**EMPTY, "at": datetime(2024, 3, 1, tzinfo=UTC), "name": "Ann"}, frozenset())
    assert "Ann" not in repr(payload)
