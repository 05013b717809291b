"""What the hub promises about time: durability before effects, fairness, patience with completions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import statuses
from localhost.taskhub.clients import finished
from localhost.taskhub.dispatch import ACTIVITY, BATCH, TURN
from localhost.taskhub.entity_clients import EntityClients
from localhost.taskhub.fair_queue import FairQueue
from localhost.taskhub.model import Instance
from localhost.taskhub.starts import NewInstance
from tests.support.sdk_dispatcher import SdkDispatcher
from tests.taskhub.engine import Bench
from tests.taskhub.workload import TALLY, Tally

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext


def echo(_: task.ActivityContext, value: int) -> int:
    return value


def chain(context: Context, length: int) -> Steps:
    for number in range(length):
        yield context.call_activity(echo, input=number)


def wide(context: Context, width: int) -> Steps:
    results: list[int] = yield task.when_all([context.call_activity(echo, input=n) for n in range(width)])
    return sum(results)


def tree(context: Context, width: int) -> Steps:
    yield task.when_all([context.call_sub_orchestrator(chain, input=1) for _ in range(width)])


def renews(context: Context, times: int) -> Steps:
    yield context.wait_for_external_event("go")
    if times:
        context.continue_as_new(times - 1, save_events=True)


def register(dispatcher: SdkDispatcher) -> None:
    for orchestrator in (chain, wide, tree, renews):
        dispatcher.worker.add_orchestrator(orchestrator)
    dispatcher.worker.add_activity(echo)
    dispatcher.worker.add_entity(Tally)


def on_a_bench(url: str, name: str, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a scenario on a bench of its own."""

    async def run() -> None:
        bench = await Bench.open(url, name, register)
        try:
            await scenario(bench)
        finally:
            bench.store.gate.set()
            await bench.close()

    asyncio.run(run())


async def start(bench: Bench, name: str, value: Any, instance_id: str = "") -> str:
    wanted = NewInstance(id=instance_id, name=name, input=json.dumps(value))
    return await bench.clients.start(wanted, None)


async def pause() -> None:
    """Let everything happen that can happen without the database."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_nothing_is_seen_before_it_is_durable(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.gate.clear()
        starting = asyncio.create_task(start(bench, "chain", 1, "one"))
        await bench.core.registry.find("one")
        await pause()
        assert not starting.done()
        # Turns have no effects: they may run ahead of the disk.
        await _until(lambda: bool(bench.hands.held[TURN]))
        await bench.hands.do(TURN)
        await pause()
        assert not bench.hands.held[ACTIVITY]
        bench.store.gate.set()
        await starting
        await bench.settle()
        assert len(bench.hands.held[ACTIVITY]) == 1

        waiting = asyncio.create_task(bench.clients.wait("one", finished))
        await pause()
        bench.store.gate.clear()
        await bench.hands.do(ACTIVITY)
        await _until(lambda: bool(bench.hands.held[TURN]))
        await bench.hands.do(TURN)
        await pause()
        instance = bench.core.registry.get("one")
        assert instance is not None
        assert instance.finished
        asking = asyncio.create_task(bench.clients.get("one"))
        await pause()
        assert not waiting.done()
        assert not asking.done()
        bench.store.gate.set()
        for answer in (await waiting, await asking):
            assert answer is not None
            assert answer[0].orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED

    on_a_bench(hub_url, hub_name, scenario)


def test_a_result_is_soon_durable_without_the_turn_it_causes(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        await start(bench, "chain", 1, "one")
        await bench.settle()
        await bench.hands.do(TURN)
        await bench.settle()
        before = bench.store.commits
        await bench.hands.do(ACTIVITY)
        await _until(lambda: bench.store.commits > before)
        await bench.crash()
        await bench.settle()
        assert not bench.hands.held[ACTIVITY]
        assert len(bench.hands.held[TURN]) == 1

    on_a_bench(hub_url, hub_name, scenario)


async def _until(reached: Callable[[], bool]) -> None:
    """As `eventually`, for what happens on this loop."""
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def test_entities_run_only_what_is_durable(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        entities = EntityClients(bench.core)
        bench.store.gate.clear()
        signals = [asyncio.create_task(entities.signal(str(TALLY), "add", "1", None, "")) for _ in range(3)]
        await pause()
        assert not bench.hands.held[BATCH]
        bench.store.gate.set()
        await asyncio.gather(*signals)
        await bench.settle()
        (_, request), *others = bench.hands.held[BATCH]
        assert not others
        assert len(pb.EntityBatchRequest.FromString(request).operations) == 3

    on_a_bench(hub_url, hub_name, scenario)


def test_a_batch_leaves_out_what_is_not_durable_yet(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        entities = EntityClients(bench.core)
        bench.hands.room = 0
        await entities.signal(str(TALLY), "early", None, None, "")
        bench.store.gate.clear()
        late = asyncio.create_task(entities.signal(str(TALLY), "late", None, None, ""))
        await pause()
        bench.hands.room = 1
        bench.core.dispatch.wake()
        await pause()
        assert _operations(bench) == ["early"]
        bench.store.gate.set()
        await late

    on_a_bench(hub_url, hub_name, scenario)


def test_roots_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.push(item[0], item)
    assert [queue.pop() for _ in range(len(queue))] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_operations_without_a_result_run_again(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        entities = EntityClients(bench.core)
        bench.store.gate.clear()
        names = ("first", "second", "third")
        signals = [asyncio.create_task(entities.signal(str(TALLY), name, None, None, "")) for name in names]
        await pause()
        bench.store.gate.set()
        await asyncio.gather(*signals)
        await bench.settle()
        bench.hands.answer(BATCH, pb.EntityBatchResult(results=[_success()]).SerializeToString())
        await bench.settle()
        assert _operations(bench) == ["second", "third"]
        await bench.crash()
        await bench.settle()
        assert _operations(bench) == ["second", "third"]
        # A batch that failed as a whole has used up its operations, and changed nothing.
        failed = pb.EntityBatchResult(failureDetails=pb.TaskFailureDetails(errorMessage="broken"))
        bench.hands.answer(BATCH, failed.SerializeToString())
        await bench.settle()
        assert not bench.hands.held[BATCH]

    on_a_bench(hub_url, hub_name, scenario)


def _operations(bench: Bench) -> list[str]:
    ((_, request),) = bench.hands.held[BATCH]
    return [operation.operation for operation in pb.EntityBatchRequest.FromString(request).operations]


def _success() -> pb.OperationResult:
    return pb.OperationResult(success=pb.OperationResultSuccess())


def test_a_newcomer_does_not_wait_behind_a_large_tree(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.hands.room = 2
        await start(bench, "tree", 300)
        await bench.settle()
        await bench.hands.do(TURN)  # three hundred children are ready
        await bench.settle()
        await start(bench, "chain", 1, "newcomer")
        for _ in range(3):
            await bench.settle()
            if any(_instance_of(item) == "newcomer" for item in bench.hands.held[TURN]):
                return
            await bench.hands.do(TURN)
        raise AssertionError("the newcomer is still waiting")

    on_a_bench(hub_url, hub_name, scenario)


def _instance_of(item: tuple[Any, Any]) -> str:
    instance: Instance = item[0].instance
    return instance.id


def test_completions_are_gathered_after_an_expensive_turn(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        width = 300
        await start(bench, "wide", width)
        await bench.settle()
        turns = 0
        while bench.hands.held[TURN] or bench.hands.held[ACTIVITY]:
            if bench.hands.held[TURN]:
                turns += 1
                await bench.hands.do(TURN)
            else:
                await bench.hands.do(ACTIVITY)  # one after the other, a millisecond each
                bench.now += 0.001
                bench.core.timers.run_due()
            await bench.settle()
        assert turns < width / 15
        (instance,) = [instance for _, instance in bench.core.registry.items()]
        assert instance.output == str(sum(range(width)))

    on_a_bench(hub_url, hub_name, scenario)


def test_a_long_chain_is_not_held_up(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        await start(bench, "chain", 120)
        await bench.work_off()  # the clock stands still: anything held would never run
        (instance,) = [instance for _, instance in bench.core.registry.items()]
        assert instance.finished

    on_a_bench(hub_url, hub_name, scenario)


def test_an_event_is_never_held_up(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        instance_id = await start(bench, "wide", 200)
        await bench.settle()
        await bench.hands.do(TURN)
        await bench.settle()
        await bench.hands.do(ACTIVITY)
        await bench.settle()
        assert not bench.hands.held[TURN]
        await bench.clients.raise_event(instance_id, "news", None)
        await bench.settle()
        assert len(bench.hands.held[TURN]) == 1

    on_a_bench(hub_url, hub_name, scenario)


def test_suspension_lasts_over_continue_as_new(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        instance_id = await start(bench, "renews", 2)
        await bench.work_off()
        bench.hands.room = 0  # all of it arrives before the next turn
        await bench.clients.raise_event(instance_id, "go", None)
        await bench.clients.suspend(instance_id, None)
        await bench.clients.raise_event(instance_id, "go", None)
        bench.hands.room = 10
        bench.core.dispatch.wake()
        await bench.work_off()
        instance = bench.core.registry.get(instance_id)
        assert instance is not None
        assert instance.status == statuses.SUSPENDED
        await bench.clients.raise_event(instance_id, "go", None)
        await bench.crash()
        await bench.work_off()
        instance = bench.core.registry.get(instance_id)
        assert instance is not None
        assert instance.status == statuses.SUSPENDED
        await bench.clients.resume(instance_id, None)
        await bench.work_off()
        assert instance.finished

    on_a_bench(hub_url, hub_name, scenario)


def test_finished_instances_leave_memory(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.core.registry.limit = 3
        ids = [await start(bench, "chain", 1, f"c{number}") for number in range(10)]
        await bench.work_off()
        assert len(bench.core.registry.items()) == 3
        for instance_id in ids:
            view = await bench.clients.get(instance_id)
            assert view is not None
            assert view[0].orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED
            assert len(await bench.clients.history(instance_id)) > 5
        assert len(bench.core.registry.items()) == 3

    on_a_bench(hub_url, hub_name, scenario)


def test_timers_far_away_cost_nothing_when_they_are_cancelled(hub_url: str, hub_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        timers = bench.core.timers
        deadlines = [timers.at(bench.now + 3600 + number, bench.failures.clear) for number in range(5000)]
        for deadline in deadlines:
            timers.cancel(deadline)
        assert timers.armed == 0
        assert len(timers) < 2000

    on_a_bench(hub_url, hub_name, scenario)
