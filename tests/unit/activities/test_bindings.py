"""The digest of what people approve is the same for the same records in any order, and for no others."""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from activities.bindings import BoundWrite, changed, total_digest
from activities.work import Source
from kernel.records import Column, Record, Records
from workflows.model import Step

COLUMNS = (Column.parse("key", "text"), Column.parse("amount", "decimal(9,2)"))
STEP = Step.model_validate(
    {"key": "post", "push": {"connector": "erp", "operation": "lines", "records": "lines", "key": ["key"]}}
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["a", "b", "c", "d"]),
            "amount": st.none() | st.decimals(-99, 99, places=2, allow_nan=False),
        }
    ),
    max_size=6,
)


def records(rows: Sequence[Record]) -> Records:
    return Records(COLUMNS, list(rows))


def bound(rows: Sequence[Record], operation: str = "lines") -> BoundWrite:
    source = Source(records(rows), frozenset())
    return BoundWrite(STEP, "lines", source, {}, {}, "erp", operation, ("key",))


def sortable(rows: Sequence[Record]) -> list[tuple[str, str]]:
    return sorted((str(row["key"]), str(row["amount"])) for row in rows)


@given(RECORDS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_means_nothing(both: tuple[list[Record], list[Record]]) -> None:
    assert bound(both[0]).digest == bound(both[1]).digest


@given(RECORDS, RECORDS)
def test_other_records_have_another_digest(first: list[Record], second: list[Record]) -> None:
    assume(sortable(first) != sortable(second))
    assert bound(first).digest != bound(second).digest
    assert total_digest([bound(first)]) != total_digest([bound(second)])


@given(RECORDS)
def test_where_they_go_counts(rows: list[Record]) -> None:
    assert bound(rows).digest != bound(rows, "other").digest


@given(RECORDS, RECORDS)
def test_a_difference_turns_one_into_the_other(before: list[Record], after: list[Record]) -> None:
    found = changed(records(before), records(after), ["key"])
    rest = sortable(before)
    for row in sortable([*found.removed, *(old for old, _ in found.altered)]):
        rest.remove(row)
    added = sortable([*found.added, *(new for _, new in found.altered)])
    assert sorted(rest + added) == sortable(after)


def test_a_difference_by_example() -> None:
    before: list[Record] = [{"key": "a", "amount": Decimal(1)}, {"key": "b", "amount": Decimal(2)}]
    after: list[Record] = [{"key": "a", "amount": Decimal(3)}, {"key": "c", "amount": Decimal(2)}]
    found = changed(records(before), records(after), ["key"])
    assert (found.added, found.removed) == ([after[1]], [before[1]])
    assert found.altered == [(before[0], after[0])]
