"""Values of sensitive fields do not pass, and neither do values of which nobody said what they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Fault, InvalidData, SluiceError, Transient
from kernel.redaction import REDACTED, redact_error, redact_fault, redact_record

CANARY = "canary-4711"
NAMES = st.sampled_from(["worker", "salary", "note", "day"])


def fault(field: str | None, value: str | None = CANARY) -> Fault:
    return Fault("c", "Text.", path="a.b", line=3, field=field, value=value, hint="Do this.")


@pytest.mark.parametrize("field", ["worker", None])
def test_a_sensitive_value_and_one_of_no_known_field_are_taken_out(field: str | None) -> None:
    clean = redact_fault(fault(field), ["worker"])
    assert clean.value == REDACTED
    assert CANARY not in f"{clean} {clean!r} {clean.to_dict()}"
    assert clean.to_dict() == {**fault(field).to_dict(), "value": REDACTED}


def test_other_values_stay() -> None:
    assert redact_fault(fault("note"), ["worker"]) == fault("note")
    assert redact_fault(fault("note"), []) == fault("note")


@pytest.mark.parametrize("field", ["worker", "note", None])
def test_a_fault_without_a_value_stays_as_it_is(field: str | None) -> None:
    assert redact_fault(fault(field, None), ["worker"]) == fault(field, None)


@pytest.mark.parametrize("error", [InvalidData, Transient])
def test_an_error_keeps_all_but_the_values(error: type[SluiceError]) -> None:
    given_error = error("What happened.", faults=[fault("worker"), fault("note", "fine")], retry_after=3)
    clean = redact_error(given_error, ["worker"])
    assert type(clean) is error
    assert (clean.message, clean.retry_after) == ("What happened.", 3)
    assert [one.value for one in clean.faults] == [REDACTED, "fine"]
    assert CANARY not in f"{clean} {clean!r} {clean.to_dict()}"


@given(st.dictionaries(NAMES, st.just(CANARY) | st.integers() | st.none()), st.lists(NAMES))
def test_a_record_keeps_its_names_and_its_other_values(record: dict[str, Any], sensitive: list[str]) -> None:
    clean = redact_record(record, sensitive)
    assert list(clean) == list(record)
    for name, value in record.items():
        assert clean[name] == (REDACTED if name in sensitive else value)


@given(st.lists(st.builds(fault, st.none() | NAMES), max_size=5), st.sets(NAMES))
def test_no_sensitive_value_passes(faults: list[Fault], sensitive: set[str]) -> None:
    clean = redact_error(InvalidData("Text.", faults=faults), sensitive)
    passed = {one.field for one in clean.faults if one.value == CANARY}
    assert not passed & (sensitive | {None})
