"""Identifiers sort by the time of their making."""

from itertools import pairwise

from kernel.ids import new_id


def test_ids_are_of_version_7_and_the_rfc_variant() -> None:
    made = new_id()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_ids_differ_and_never_go_back() -> None:
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(first < second for first, second in pairwise(made))
    assert sorted(map(str, made)) == list(map(str, made))
