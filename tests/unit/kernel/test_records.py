"""Column types read as they are written; records stay in memory."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.records import Column, ColumnKind, Records, parse_columns


@pytest.mark.parametrize("kind", list(ColumnKind))
def test_every_kind_is_a_type(kind: ColumnKind) -> None:
    column = Column.parse("c", str(kind))
    assert column == Column("c", kind)
    assert column.type == kind


@given(st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))))
def test_decimal_sizes_read_as_they_are_written(size: tuple[int, int]) -> None:
    precision, scale = size
    column = Column.parse("c", f"decimal({precision},{scale})")
    assert (column.kind, column.precision, column.scale) == (ColumnKind.DECIMAL, precision, scale)
    assert Column.parse("c", column.type) == column


@pytest.mark.parametrize("text", [" Decimal( 18 , 2 ) ", "decimal(18,2)", "DECIMAL(18, 2)"])
def test_space_and_case_do_not_matter(text: str) -> None:
    assert Column.parse("c", text) == Column("c", ColumnKind.DECIMAL, 18, 2)


@pytest.mark.parametrize("text", ["decimal(0,0)", "decimal(39,2)", "decimal(2,3)", "decimal(100,2)"])
def test_impossible_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal\("):
        Column.parse("c", text)


@pytest.mark.parametrize("text", ["", "money", "decimal(18)", "float", "decimal(18,2) null"])
def test_an_unknown_type_names_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="timestamp_text, decimal"):
        Column.parse("c", text)


def test_columns_keep_their_order() -> None:
    assert [column.name for column in parse_columns({"b": "text", "a": "date"})] == ["b", "a"]


def test_records_show_their_shape_and_no_values() -> None:
    records = Records(parse_columns({"name": "text"}), [{"name": "canary"}])
    records.extend([{"name": "canary"}])
    assert len(records) == 2
    assert repr(records) == "Records(2 rows, columns ['name'])"


def test_records_refuse_to_be_pickled() -> None:
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(Records(()))
