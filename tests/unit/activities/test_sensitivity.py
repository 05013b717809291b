"""Which columns inherit that they must not be shown."""

import pytest

from activities.sensitivity import hidden_columns
from activities.work import Source
from kernel.records import Records, parse_columns

WORKERS = Source(Records(parse_columns({"worker": "text", "project": "text"})), frozenset({"worker"}))
RATES = Source(Records(parse_columns({"activity": "text", "rate": "decimal"})), frozenset())


@pytest.mark.parametrize(
    ("columns", "hidden"),
    [
        ({"worker": True, "project": True}, {"worker"}),
        ({"who": True, "project": True}, {"who"}),
        ({"hours": False, "activity": True}, set()),
        ({"worker": False}, {"worker"}),
    ],
    ids=["by name", "renamed text", "numbers and known texts", "whatever its type"],
)
def test_texts_of_unknown_origin_are_hidden(columns: dict[str, bool], hidden: set[str]) -> None:
    assert hidden_columns([WORKERS, RATES], columns) == hidden


def test_nothing_is_hidden_when_nothing_is_sensitive() -> None:
    assert hidden_columns([RATES], {"anything": True}) == frozenset()
