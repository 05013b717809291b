"""What crosses between orchestrators and activities: whole, JSON, and no business data."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.contract import ChunksInput, ChunksOutcome, Next, Outcome, Pages, SegmentInput, Then

COUNTS = st.integers(0, 1000)
IDS = st.uuids().map(str)
POSITIONS = st.lists(COUNTS).map(tuple)
PAGES = st.builds(Pages, st.just("each"), COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(Next),
    COUNTS,
    st.floats(0, 10**7),
    st.sampled_from(["", "SUCCEEDED", "FAILED", "CANCELLED"]),
    st.none() | PAGES,
    st.just("") | IDS,
    COUNTS,
    st.lists(IDS, max_size=3).map(tuple),
)
CHUNKS = st.builds(
    ChunksInput, IDS, COUNTS, COUNTS, st.just("each"), COUNTS, COUNTS, COUNTS, POSITIONS, st.booleans()
)
CHUNK_OUTCOMES = st.builds(
    ChunksOutcome, st.sampled_from(Then), POSITIONS, st.floats(0, 10**7), st.just("") | IDS, COUNTS
)


@given(st.builds(SegmentInput, st.uuids().map(str), st.integers(0, 1000)))
def test_an_input_survives_the_way(given_input: SegmentInput) -> None:
    assert SegmentInput.from_dict(json.loads(json.dumps(given_input.to_dict()))) == given_input


@given(OUTCOMES)
def test_an_outcome_survives_the_way(outcome: Outcome) -> None:
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())))
    assert again == outcome
    assert type(again.next) is Next


@given(CHUNKS)
def test_an_input_of_chunks_survives_the_way(asked: ChunksInput) -> None:
    assert ChunksInput.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


@given(CHUNK_OUTCOMES)
def test_an_outcome_of_chunks_survives_the_way(outcome: ChunksOutcome) -> None:
    assert ChunksOutcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


@given(st.builds(ChunksInput, IDS, COUNTS, COUNTS, st.just("each"), COUNTS, COUNTS, COUNTS))
def test_without_positions_the_chunks_follow_each_other(asked: ChunksInput) -> None:
    assert asked.chosen() == list(range(asked.first, asked.first + asked.count))


@pytest.mark.parametrize("kind", [SegmentInput, Outcome, Pages, ChunksInput, ChunksOutcome])
def test_only_ids_counts_and_names_cross(kind: type) -> None:
    """Durable history is readable in clear: a new field must be of a kind that cannot hold records."""
    counts = (
        "first",
        "last",
        "size",
        "batch",
        "concurrency",
        "run_execution",
        "child_execution",
        "page",
        "count",
    )
    allowed = {
        **dict.fromkeys(counts, int),
        "pages": Pages | None,
        "child": str,
        "step": str,
        "positions": tuple[int, ...],
        "alone": bool,
        "then": Then,
        "run_id": str,
        "segment": int,
        "execution": int,
        "next": Next,
        "wait_seconds": float,
        "state": str,
        "approvals": tuple[str, ...],
    }
    assert {field.name: field.type for field in dataclasses.fields(kind)}.items() <= allowed.items()


@pytest.mark.parametrize("damaged", [{}, {"next": "continue"}, {"next": "later", "segment": 1}])
def test_a_damaged_outcome_is_an_error(damaged: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Outcome.from_dict(damaged)
