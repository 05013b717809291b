"""The transition tables: every pair of states is allowed or refused, as the table says and nothing else."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from kernel.errors import Conflict
from workflows import states
from workflows.states import (
    APPROVAL_TRANSITIONS,
    DEAD_LETTER_TRANSITIONS,
    NOTIFICATION_TRANSITIONS,
    POSTING_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    TERMINAL_RUN_STATES,
    ApprovalState,
    DeadLetterState,
    NotificationState,
    PostingState,
    RunState,
    State,
    TaskState,
    check_transition,
    predecessors,
    successors,
)

TABLES: Mapping[type[StrEnum], Mapping[Any, frozenset[Any]]] = {
    RunState: RUN_TRANSITIONS,
    TaskState: TASK_TRANSITIONS,
    PostingState: POSTING_TRANSITIONS,
    DeadLetterState: DEAD_LETTER_TRANSITIONS,
    ApprovalState: APPROVAL_TRANSITIONS,
    NotificationState: NOTIFICATION_TRANSITIONS,
}
# What each machine starts with, from where it can come back there, and where it can rest for good.
ENDS: Mapping[type[StrEnum], tuple[Any, set[Any], set[Any]]] = {
    RunState: (RunState.PENDING, set(), {RunState.SUCCEEDED, RunState.CANCELLED}),
    TaskState: (
        TaskState.PENDING,
        {TaskState.FAILED},  # a chunk whose run is retried
        {TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.SKIPPED},
    ),
    PostingState: (
        PostingState.INTENDED,
        {PostingState.SENT, PostingState.REJECTED},  # known not to be written: the record may be sent again
        {PostingState.CONFIRMED},
    ),
    DeadLetterState: (
        DeadLetterState.OPEN,
        {DeadLetterState.RETRIED, DeadLetterState.SUPERSEDED},  # rejected again
        {DeadLetterState.DISCARDED},
    ),
    ApprovalState: (
        ApprovalState.REQUESTED,
        set(),
        {ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.CANCELLED},
    ),
    NotificationState: (
        NotificationState.PENDING,
        {NotificationState.FAILED},  # sent again by an operator
        {NotificationState.EXPANDED, NotificationState.SENT, NotificationState.DROPPED},
    ),
}


PAIRS = [pair for kind in TABLES for pair in product(kind, kind)]


def named(state: StrEnum) -> str:
    return f"{type(state).__name__}.{state}"


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=named)
def test_every_pair_is_allowed_or_refused_as_the_table_says(before: Any, after: Any) -> None:
    allowed = after in TABLES[type(before)][before]
    assert (after in successors(before)) is allowed
    assert (before in predecessors(after)) is allowed
    if allowed:
        check_transition(before, after)
    else:
        with pytest.raises(Conflict, match=f"^{before} cannot become {after}; allowed: .+\\.$"):
            check_transition(before, after)


def test_the_tables_are_all_there_is() -> None:
    assert dict(states._TABLES) == TABLES
    assert set(State.__args__) == set(TABLES)


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_has_every_state(kind: type[StrEnum]) -> None:
    assert set(TABLES[kind]) == set(kind)
    for after in TABLES[kind].values():
        assert after <= set(kind)


@pytest.mark.parametrize("kind", TABLES)
def test_no_state_follows_itself(kind: type[StrEnum]) -> None:
    assert [state for state, after in TABLES[kind].items() if state in after] == []


@pytest.mark.parametrize("kind", TABLES)
def test_every_state_can_be_reached_and_every_way_ends(kind: type[StrEnum]) -> None:
    first, back, final = ENDS[kind]
    table = TABLES[kind]
    assert reachable(first) == set(kind)
    assert set(predecessors(first)) == back
    assert {state for state, after in table.items() if not after} == final
    assert all(reachable(state) & final for state in table)


def reachable(state: Any) -> set[Any]:
    """The state itself and all that can follow, however late."""
    found: set[Any] = set()
    waiting = [state]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += successors(one)
    return found


def test_a_run_at_rest_is_terminal_and_can_at_most_be_tried_again() -> None:
    assert {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED} == TERMINAL_RUN_STATES
    assert {after for state in TERMINAL_RUN_STATES for after in successors(state)} == {RunState.RUNNING}


def test_nothing_is_confirmed_or_refused_that_was_never_sent() -> None:
    for outcome in (PostingState.CONFIRMED, PostingState.REJECTED, PostingState.IN_DOUBT):
        assert set(predecessors(outcome)) <= {PostingState.SENT, PostingState.IN_DOUBT}


def test_a_task_goes_where_a_run_goes() -> None:
    for before, after in product(RunState, RunState):
        if after in successors(before) and (before, after) != (RunState.PENDING, RunState.FAILED):
            assert TaskState(after) in successors(TaskState(before))


def test_a_refusal_says_what_is_possible_instead() -> None:
    with pytest.raises(Conflict, match="allowed: CANCELLED, FAILED, RUNNING"):
        check_transition(RunState.PENDING, RunState.SUCCEEDED)
    with pytest.raises(Conflict, match="allowed: nothing, it is final"):
        check_transition(RunState.SUCCEEDED, RunState.RUNNING)
