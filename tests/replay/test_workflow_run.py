"""The run orchestrator on Microsoft's engine: its decisions, and that replaying them changes nothing."""

import json
from collections.abc import Iterator

import pytest
from durabletask.client import OrchestrationStatus

from activities.contract import Next, Outcome
from tests.replay.hub import LONG_SECONDS, Hub, running_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of this test alone."""
    with running_hub() as made:
        yield made


ENDED = Outcome(Next.ENDED, 0, state="SUCCEEDED")


def test_segments_follow_each_other_until_the_run_has_ended(hub: Hub) -> None:
    state = hub.run([Outcome(Next.CONTINUE, 1), Outcome(Next.CONTINUE, 1), Outcome(Next.CONTINUE, 2), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert json.loads(state.serialized_output) == {"state": "SUCCEEDED"}
    assert hub.asked == [("r1", 0), ("r1", 1), ("r1", 1), ("r1", 2)]


def test_a_retry_waits_in_a_durable_timer_and_asks_for_the_same_segment(hub: Hub) -> None:
    hub.run([Outcome(Next.CONTINUE, 1), Outcome(Next.RETRY, 1, wait_seconds=0.05), ENDED])
    assert hub.asked == [("r1", 0), ("r1", 1), ("r1", 1)]


def test_an_activity_that_could_record_nothing_is_repeated(hub: Hub) -> None:
    state = hub.run([ConnectionError("the database does not answer"), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert hub.asked == [("r1", 0), ("r1", 0)]


def test_a_paused_run_goes_on_when_it_is_woken(hub: Hub) -> None:
    state = hub.run([Outcome(Next.SUSPENDED, 1), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert hub.asked == [("r1", 0), ("r1", 1)]


def test_a_wake_up_ends_a_long_wait(hub: Hub) -> None:
    hub.run([Outcome(Next.RETRY, 0, wait_seconds=LONG_SECONDS), ENDED])
    assert hub.asked == [("r1", 0), ("r1", 0)]


def test_a_later_execution_begins_where_it_is_told(hub: Hub) -> None:
    hub.run([ENDED], segment=2, execution=1)
    assert hub.asked == [("r1", 2)]


def asking(*approvals: str, wait_seconds: float = 0.0) -> Outcome:
    return Outcome(Next.SUSPENDED, 0, wait_seconds=wait_seconds, approvals=approvals)


@pytest.mark.parametrize("wait", [0.0, 0.02, LONG_SECONDS], ids=["decided", "out of time", "woken"])
def test_waiting_for_people_ends_with_what_comes_first(hub: Hub, wait: float) -> None:
    hub.run([asking("a", "b", wait_seconds=wait), asking("b"), ENDED])
    assert hub.asked == [("r1", 0)] * 3
    assert hub.told == 2


def test_whoever_cannot_be_told_does_not_stop_the_run(hub: Hub) -> None:
    hub.mute = True
    state = hub.run([asking("a"), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert (len(hub.asked), hub.told) == (2, 1)
