"""The work that all engines do is the same work."""

import json

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import work


@given(st.integers(0, 5000), st.integers(0, 100_000))
def test_amounts_are_rounded_half_up(minutes: int, rate: int) -> None:
    # Exactly: amount - 1/2 <= minutes * rate / 60 < amount + 1/2, times 120.
    assert -60 <= 2 * minutes * rate - 120 * work.amount(minutes, rate) < 60


def test_a_run_pushes_its_20_records_in_one_row() -> None:
    lines = json.loads(work.pushed_by_run("unit"))
    assert [line["line"] for line in lines] == list(range(20))
    assert lines[1] == {"line": 1, "project": "P-0001", "day": "2026-03-02", "amount": 1600}


def test_a_chunk_pushes_one_record() -> None:
    unit = work.chunk_unit("group", 7)
    assert unit == "group-00007"
    assert json.loads(work.pushed_by_chunk(unit, 7)) == work.transform([work.record(unit, 7)])


def test_the_work_has_the_size_it_is_said_to_have() -> None:
    assert 1_500 < len(json.dumps(work.fetch("unit-0000"))) < 2_500
    assert 1_000 < len(work.pushed_by_run("unit-0000")) < 1_500
