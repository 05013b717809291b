"""What a step only waits for uses up none of its attempts; its timeout bounds it all the same."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from activities.services import Services
from adapters.contract import Adapter
from kernel.ids import new_id
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_postings import LOOKUP, counts, dies, states
from tests.integration.runs.test_repeats import DOWN, Hooked, hooked, raising
from tests.support.world import EXAMPLES, SMALL_LOG, World, drive, one_segment, waits
from workflows.states import RunState

RETRY = "    retry: {attempts: 5, first: 2s, factor: 2, max: 1m}\n"


def publish(world: World, instead: str) -> None:
    """The example with something else than its retries of the write."""
    example = (EXAMPLES / "labour_costs.yaml").read_text()
    assert RETRY in example
    world.publish(example.replace(RETRY, f"    {instead}\n"))


class Contested(Hooked):
    """Before each look-up ends, another execution takes the records over, as often as the test says."""

    def __init__(self, inner: Adapter, take_over: Callable[[], None]) -> None:
        super().__init__(inner, idempotency=LOOKUP)
        self._take_over = take_over

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        """Look up for real."""
        found = self.inner.find_posted(operation, parameters, keys)
        self._take_over()
        return found


def contested(world: World, times: int) -> Services:
    """Services whose look-ups are contested."""
    left = iter(range(times))

    def take_over() -> None:
        if next(left, None) is not None:
            world.sql("UPDATE sluice.posting SET claim = %s RETURNING id", [new_id()])

    return world.with_adapter(lambda inner: Contested(inner, take_over))  # type: ignore[return-value,arg-type]


def test_killed_calls_settle_after_more_waits_than_attempts(world: World) -> None:
    publish(world, "retry: {attempts: 2}")
    run = dies(world, "after_push", world.upload(SMALL_LOG), LOOKUP)
    services = hooked(world, idempotency=LOOKUP)
    for _ in range(3):  # each time the calls are as young as if they had just been begun
        assert waits(one_segment(services, run.id))
        world.sql("UPDATE sluice.posting SET sent_at = %s RETURNING id", [world.services.clock()])
    drive(services, run.id)
    ended = world.run(run.id)
    assert (ended.state, counts(world, run)["posted"], len(world.ledger())) == (RunState.SUCCEEDED, 2, 2)
    [waited] = world.tasks(run.id)["post"].attempts
    assert (waited["code"], waited["counted"], waited["times"]) == ("settling", False, 4)
    assert world.tasks(run.id)["post"].attempt == 1, "waiting is no attempt"


def test_a_write_that_is_killed_more_often_than_it_may_fail_ends_well(world: World) -> None:
    publish(world, "retry: {attempts: 1}")
    run = dies(world, "before_push", world.upload(SMALL_LOG), LOOKUP)
    mortal = hooked(world, idempotency=LOOKUP, before_push=raising(Killed(), Killed()))
    for _ in range(2):
        assert waits(one_segment(mortal, run.id))
        with pytest.raises(Killed):
            one_segment(mortal, run.id)
    drive(mortal, run.id)
    assert (world.run(run.id).state, len(world.ledger())) == (RunState.SUCCEEDED, 2)


def test_records_that_others_take_over_again_and_again_use_up_no_attempt(world: World) -> None:
    publish(world, "retry: {attempts: 1}")
    run = dies(world, "before_push", world.upload(SMALL_LOG), LOOKUP)
    drive(contested(world, 12), run.id)
    assert (world.run(run.id).state, len(world.ledger())) == (RunState.SUCCEEDED, 2)
    [waited] = world.tasks(run.id)["post"].attempts
    assert (waited["code"], waited["times"]) == ("settling", 3), "the call, and twice five rounds"


@pytest.mark.parametrize("times", [1, 1_000], ids=["settling", "contested"])
def test_waiting_ends_with_the_steps_timeout(world: World, times: int) -> None:
    publish(world, f"timeout: {'30s' if times == 1 else '90s'}")
    run = dies(world, "before_push", world.upload(SMALL_LOG), LOOKUP)
    drive(contested(world, times), run.id)
    failure = world.run(run.id).failure or {}
    assert (failure["code"], states(world)) == ("timed_out", {"IN_DOUBT": 2})
    assert world.ledger() == []


def test_a_failure_after_waiting_counts_as_the_first(world: World) -> None:
    publish(world, "retry: {attempts: 2, first: 2s}")
    run = dies(world, "before_push", world.upload(SMALL_LOG), LOOKUP)
    down = hooked(world, idempotency=LOOKUP, before_push=raising(DOWN))
    drive(down, run.id)
    assert world.run(run.id).state is RunState.SUCCEEDED
    codes = [(one["code"], one["number"]) for one in world.tasks(run.id)["post"].attempts]
    assert codes == [("settling", 1), ("system_unavailable", 1), ("settling", 2)]
    assert world.tasks(run.id)["post"].attempt == 2
