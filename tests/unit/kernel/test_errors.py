"""Errors survive the way through another process, whole and of the same class."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Fault, InternalError, SluiceError, Transient, Unavailable, Waiting, error_classes

CLASSES = list(error_classes())
FAULTS = st.lists(
    st.builds(
        Fault,
        code=st.text(min_size=1),
        message=st.text(min_size=1),
        path=st.text(),
        line=st.none() | st.integers(min_value=1),
        field=st.none() | st.text(min_size=1),
        value=st.none() | st.text(min_size=1),
        hint=st.text(),
        severity=st.sampled_from(["error", "warning"]),
    ),
    max_size=4,
)


def same(first: SluiceError, second: SluiceError) -> bool:
    return type(first) is type(second) and first.to_dict() == second.to_dict()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_survives_json_and_pickle(kind: type[SluiceError]) -> None:
    fault = Fault("c", "m", path="a.b", line=3, field="f", value="v", hint="h")
    error = kind("What happened. What to do.", faults=[fault], retry_after=1.5)
    assert same(SluiceError.from_dict(json.loads(json.dumps(error.to_dict()))), error)
    assert same(pickle.loads(pickle.dumps(error)), error)  # noqa: S301


@given(FAULTS, st.none() | st.floats(min_value=0, allow_infinity=False))
def test_all_parts_of_faults_survive(faults: list[Fault], retry_after: float | None) -> None:
    error = Transient("Text.", faults=faults, retry_after=retry_after)
    again = SluiceError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert again.faults == tuple(faults)
    assert again.retry_after == retry_after


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(codes) == len(set(codes))


def test_an_unknown_code_becomes_an_internal_error() -> None:
    data = {"code": "from_a_newer_release", "message": "Text.", "faults": []}
    assert type(SluiceError.from_dict(data)) is InternalError


def test_what_is_worth_another_try_is_transient_or_passes_by_itself() -> None:
    worth = {kind for kind in CLASSES if kind.transient}
    assert worth == {Unavailable, *error_classes(Transient), *error_classes(Waiting)}
    assert {kind for kind in CLASSES if not kind.counted} == set(error_classes(Waiting))


def test_other_faults_make_a_new_error_of_the_same_kind() -> None:
    error = Transient("Text.", faults=[Fault("c", "m", value="secret")], retry_after=2)
    clean = error.with_faults([Fault("c", "m", value="[redacted]")])
    assert type(clean) is Transient
    assert (clean.message, clean.retry_after) == ("Text.", 2)
    assert "secret" not in str(clean)
    assert "secret" in str(error)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("c", "Wrong."), "Wrong."),
        (Fault("c", "Wrong.", path="a.b"), "a.b: Wrong."),
        (Fault("c", "Wrong.", path="a.b", line=3), "line 3: Wrong."),
        (Fault("c", "Wrong.", value="x", hint="Do this."), "Wrong. (found 'x') Do this."),
    ],
)
def test_a_fault_reads_as_place_message_value_and_remedy(fault: Fault, text: str) -> None:
    assert str(fault) == text
