"""Who may decide: one function, and nobody gets past it who is excluded, not asked, or too late."""

from collections.abc import Set
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workflows.deciding import WORDS, Question, Standing, asked_by, standing_of
from workflows.states import ApprovalState

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
GROUPS = ("controllers", "directors", "auditors")
PEOPLE = ("local:a", "local:b", "local:c")
NAMES = st.sampled_from([*GROUPS, *(f"person:{one}" for one in PEOPLE)])
QUESTIONS = st.builds(
    Question,
    st.sampled_from(ApprovalState),
    st.lists(NAMES, max_size=3),
    st.frozensets(st.sampled_from(PEOPLE)),
    st.frozensets(st.sampled_from(PEOPLE)),
    st.none() | st.integers(-2, 2).map(lambda hours: NOW + timedelta(hours=hours)),
)


@given(QUESTIONS, st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(GROUPS)))
def test_who_may_decide_is_asked_and_nothing_speaks_against_it(
    question: Question, person: str, groups: Set[str]
) -> None:
    asked = f"person:{person}" in question.approvers or bool(groups & set(question.approvers))
    in_time = question.due_at is None or question.due_at > NOW
    free = person not in question.excluded and person not in question.said
    may = question.state is ApprovalState.REQUESTED and asked and in_time and free
    assert (standing_of(question, person, groups, NOW) is Standing.MAY_DECIDE) is may


@given(QUESTIONS, st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(GROUPS)))
def test_one_is_asked_by_name_or_by_group(question: Question, person: str, groups: Set[str]) -> None:
    names = asked_by(question, person, groups)
    assert set(names) <= set(question.approvers)
    assert set(names) <= {f"person:{person}", *groups}


def test_the_deadline_itself_is_too_late() -> None:
    question = Question(ApprovalState.REQUESTED, ["controllers"], [], [], NOW)
    assert standing_of(question, "local:a", {"controllers"}, NOW) is Standing.EXPIRED
    before = NOW - timedelta(microseconds=1)
    assert standing_of(question, "local:a", {"controllers"}, before) is Standing.MAY_DECIDE


def test_every_standing_has_words() -> None:
    assert set(WORDS) == set(Standing)
    assert all(text.endswith(".") for text in WORDS.values())
