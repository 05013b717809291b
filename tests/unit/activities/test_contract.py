"""What crosses between orchestrators and activities: whole, JSON, and no business data."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.contract import Next, Outcome, SegmentInput

OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(Next),
    st.integers(0, 1000),
    st.floats(0, 10**7),
    st.sampled_from(["", "SUCCEEDED", "FAILED", "CANCELLED"]),
)


@given(st.builds(SegmentInput, st.uuids().map(str), st.integers(0, 1000)))
def test_an_input_survives_the_way(given_input: SegmentInput) -> None:
    assert SegmentInput.from_dict(json.loads(json.dumps(given_input.to_dict()))) == given_input


@given(OUTCOMES)
def test_an_outcome_survives_the_way(outcome: Outcome) -> None:
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())))
    assert again == outcome
    assert type(again.next) is Next


@pytest.mark.parametrize("kind", [SegmentInput, Outcome])
def test_only_ids_counts_and_names_cross(kind: type[SegmentInput] | type[Outcome]) -> None:
    """Durable history is readable in clear: a new field must be of a kind that cannot hold records."""
    allowed = {
        "run_id": str,
        "segment": int,
        "execution": int,
        "next": Next,
        "wait_seconds": float,
        "state": str,
    }
    assert {field.name: field.type for field in dataclasses.fields(kind)}.items() <= allowed.items()


@pytest.mark.parametrize("damaged", [{}, {"next": "continue"}, {"next": "later", "segment": 1}])
def test_a_damaged_outcome_is_an_error(damaged: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Outcome.from_dict(damaged)
