"""Control totals: the books balance, or the run fails and says where."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.fates import SETTLED_FATES, Fate
from activities.totals import TotalsLine, prove_totals
from kernel.errors import TotalsNotProved
from store.runs import TaskRow
from workflows.model import Workflow
from workflows.states import TaskState

NOW = datetime(2024, 3, 1, tzinfo=UTC)
WORKFLOW = Workflow.model_validate(
    {
        "workflow": "w",
        "steps": [
            {"key": "costs", "transform": {"sql": "SELECT 1 AS n"}, "measures": {"amount": "sum(amount)"}},
            {"key": "post", "push": {"connector": "erp", "operation": "o", "records": "costs", "key": ["n"]}},
        ],
    }
)


def task(key: str, state: TaskState = TaskState.SUCCEEDED, **parts: Any) -> TaskRow:
    empty: dict[str, Any] = {"counts": None, "measures": None, "failure": None, "attempts": []}
    empty |= {"planning": None, "batch_digest": None}
    return TaskRow(uuid4(), uuid4(), None, key, 0, "push", state, 1, NOW, NOW, **{**empty, **parts})


def fates(posted: Any = 0, already_posted: Any = 0, rejected: Any = 0, held: Any = 0) -> dict[str, Any]:
    return {"posted": posted, "already_posted": already_posted, "rejected": rejected, "held": held}


# Ten records worth 100.00; one was rejected before the write, six posted, two were there, one was refused.
SOURCE = {"records": {"total": 10, "rejected": 1}, "amount": {"total": "100.00", "rejected": "5.00"}}
WRITE = {"records": fates(6, 2, 1), "amount": fates("60.00", "25.00", "10.00", "0.00")}
COUNTS = {"records": 9, "posted": 6, "already_posted": 2, "rejected": 1, "held": 0}


def books(
    source: dict[str, Any] = SOURCE, write: dict[str, Any] = WRITE, counts: dict[str, int] = COUNTS
) -> list[TaskRow]:
    return [task("costs", measures=source), task("post", measures=write, counts=counts)]


def broken(tasks: list[TaskRow], ledger: dict[str, int] | None = None) -> list[str]:
    with pytest.raises(TotalsNotProved) as caught:
        prove_totals(WORKFLOW, tasks, {"post": 6} if ledger is None else ledger)
    return [fault.code for fault in caught.value.faults]


def test_books_that_balance_are_proved_per_measure() -> None:
    lines = prove_totals(WORKFLOW, books(), {"post": 6})
    assert [line.to_dict() for line in lines] == [
        {"step": "post", "measure": "records", "read": "10", "proved": True, **fates("6", "2", "2", "0")},
        {
            "step": "post",
            "measure": "amount",
            "read": "100.00",
            "proved": True,
            **fates("60.00", "25.00", "15.00", "0.00"),
        },
    ]


def changed(part: str, fate: str, value: Any) -> dict[str, Any]:
    return {**WRITE, part: {**WRITE[part], fate: value}}


WRONG = {
    "a record was lost": (books(write=changed("records", "posted", 5), counts={**COUNTS, "posted": 6}), 6),
    "a record was made up": (books(write=changed("records", "posted", 7), counts={**COUNTS, "posted": 6}), 6),
    "a record that was there is not counted": (books(write=changed("records", "already_posted", 1)), 6),
    "a refused record is not counted": (books(write=changed("records", "rejected", 0)), 6),
    "a record is held and posted": (books(write=changed("records", "held", 1)), 6),
    "a cent is missing": (books(write=changed("amount", "posted", "59.99")), 6),
    "a cent is too much": (books(write=changed("amount", "already_posted", "25.01")), 6),
    "a tiny part of a cent is missing": (books(write=changed("amount", "rejected", "9.9999999999")), 6),
    "a record rejected before the write is counted twice": (
        books(write=changed("records", "rejected", 2)),
        6,
    ),
    "more was read than passed on": (books(source={**SOURCE, "records": {"total": 11, "rejected": 1}}), 6),
    "fewer were rejected before than is said": (
        books(source={**SOURCE, "records": {"total": 10, "rejected": 0}}),
        6,
    ),
    "the signs cancel out in one measure only": (
        books(write={"records": fates(6, 2, 1), "amount": fates("-60.00", "25.00", "10.00", "0.00")}),
        6,
    ),
}


@pytest.mark.parametrize(("tasks", "ledger"), WRONG.values(), ids=list(WRONG))
def test_books_that_do_not_balance_fail_the_run(tasks: list[TaskRow], ledger: int) -> None:
    assert broken(tasks, {"post": ledger}) == ["unbalanced"]


@pytest.mark.parametrize("ledger", [{"post": 5}, {"post": 7}, {}])
def test_a_ledger_that_has_other_postings_fails_the_run(ledger: dict[str, int]) -> None:
    assert broken(books(), ledger) == ["ledger_differs"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    write = {"records": fates(5, 2, 1), "amount": fates("60.01", "25.00", "10.00", "0.00")}
    with pytest.raises(TotalsNotProved) as caught:
        prove_totals(WORKFLOW, books(write=write), {"post": 8})
    assert [fault.code for fault in caught.value.faults] == ["unbalanced", "unbalanced", "ledger_differs"]
    assert "records of 'post': read 10" in str(caught.value)
    assert "amount of 'post': read 100.00" in str(caught.value)
    assert "counts 6 posted records, the posting ledger has 8" in str(caught.value)


def test_a_write_that_a_gate_bypassed_holds_what_it_would_have_written() -> None:
    tasks = [task("costs", measures=SOURCE), task("post", TaskState.SKIPPED)]
    records, amount = prove_totals(WORKFLOW, tasks, {})
    assert (records.held, records.rejected, records.posted) == (Decimal(9), Decimal(1), Decimal(0))
    assert (amount.held, amount.rejected) == (Decimal("95.00"), Decimal("5.00"))


def test_a_bypassed_write_that_has_postings_fails_the_run() -> None:
    assert broken([task("costs", measures=SOURCE), task("post", TaskState.SKIPPED)], {"post": 1}) == [
        "ledger_differs"
    ]


def test_a_write_whose_source_was_bypassed_too_has_no_lines() -> None:
    tasks = [task("costs", TaskState.SKIPPED), task("post", TaskState.SKIPPED)]
    assert prove_totals(WORKFLOW, tasks, {}) == []


def test_a_workflow_without_a_write_has_no_lines() -> None:
    reading = Workflow.model_validate(
        {"workflow": "w", "steps": [{"key": "a", "transform": {"sql": "SELECT 1"}}]}
    )
    assert prove_totals(reading, [task("a", measures={"records": {"total": 1, "rejected": 0}})], {}) == []


CENTS = st.integers(-(10**15), 10**15)


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(SETTLED_FATES, CENTS)), CENTS, st.integers(-3, 3))
def test_a_line_is_proved_exactly_when_the_parts_make_the_whole(
    parts: dict[Fate, int], before: int, off: int
) -> None:
    read = Decimal(sum(parts.values()) + before + off).scaleb(-2)
    source = {"amount": {"total": str(read), "rejected": str(Decimal(before).scaleb(-2))}}
    write = {"amount": {str(fate): str(Decimal(cents).scaleb(-2)) for fate, cents in parts.items()}}
    tasks = books(source, write, {"posted": 6})
    if off:
        assert broken(tasks) == ["unbalanced"]
    else:
        assert [line.proved for line in prove_totals(WORKFLOW, tasks, {"post": 6})] == [True]


def test_numbers_are_written_without_exponents() -> None:
    line = TotalsLine("post", "n", Decimal("1E+3"), Decimal("1E+3"), Decimal(0), Decimal("0E-2"), Decimal(0))
    assert line.proved
    assert [line.to_dict()[name] for name in ("read", "posted", "rejected")] == ["1000", "1000", "0.00"]
