"""A secret shows itself to nobody who does not ask by name."""

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from kernel.secrets import Secret, Witness
from tests.support.adapters import Vault

CANARY = "canary-7f3a"


@pytest.mark.parametrize("show", [repr, str, format, "{}".format, "{!r:>40}".format, lambda s: f"{[s]}"])
def test_no_way_of_printing_shows_it(show: Callable[[Any], str]) -> None:
    assert CANARY not in show(Secret(CANARY))


def test_it_does_not_reach_a_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("signing in with %s and %r", Secret(CANARY), Secret(CANARY))
    assert CANARY not in caplog.text
    assert "Secret(***)" in caplog.text


@pytest.mark.parametrize("move", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_it_refuses_to_be_copied_or_serialised(move: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        move(Secret(CANARY))
    assert CANARY not in str(caught.value)


def test_it_has_no_attributes_to_walk_over() -> None:
    assert not hasattr(Secret(CANARY), "__dict__")


def test_reveal_gives_the_value() -> None:
    assert Secret(CANARY).reveal() == CANARY


def test_equal_values_are_equal_secrets_and_nothing_else_is() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_secrets_do_not_meet_in_a_set() -> None:
    assert len({Secret(CANARY), Secret(CANARY)}) == 2


def test_a_witness_knows_what_was_given_once_each_and_shows_it_only_when_asked() -> None:
    witness = Witness(Vault({"one": CANARY, "two": "other", "unused": "never"}))
    assert witness.revealed() == []
    given = [witness.secret(name).reveal() for name in ("one", "two", "one")]
    assert given == [CANARY, "other", CANARY]
    assert witness.revealed() == [CANARY, "other"]
    assert CANARY not in f"{witness} {witness!r}"
