"""Runs the real orchestrators in place: activities are called directly, timers take no time."""

from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from typing import Any, cast

from durabletask.task import CancellableTask, CompletableTask, OrchestrationContext, Task

from activities.contract import NOTIFY, RUN_CHUNKS, ChunksInput, SegmentInput
from activities.run_chunks import run_chunks
from activities.run_segment import run_segment
from activities.services import Services
from orchestrators.chunk_run import chunk_run
from orchestrators.dispatch_page import dispatch_page
from orchestrators.names import CHUNK_RUN, DISPATCH_PAGE, WORKFLOW_RUN
from orchestrators.workflow_run import workflow_run
from workflows.states import RunState

type Steps = Generator[Any, Any, dict[str, Any] | None]

_ORCHESTRATORS: Mapping[str, Callable[[OrchestrationContext, dict[str, Any]], Steps]] = {
    WORKFLOW_RUN: workflow_run,
    DISPATCH_PAGE: dispatch_page,
    CHUNK_RUN: chunk_run,
}
SUSPENDED = {"state": RunState.SUSPENDED}


class _Waiting(CancellableTask[Any]):
    """An event that does not come here."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class _Delay(CancellableTask[Any]):
    """A timer that takes no time here."""

    def __init__(self, delay: timedelta) -> None:
        super().__init__()
        self.delay = delay


class _Asked(CompletableTask[Any]):
    """An activity to call."""

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.name, self.given = name, given


class _Context:
    """Stands in for durabletask's context: sub-orchestrations run to their end as they are called."""

    version = "1.3.0"
    instance_id = "here"

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self.continued: dict[str, Any] | None = None

    def wait_for_external_event(self, name: str) -> _Waiting:
        return _Waiting(name)

    def call_activity(
        self, name: str, *, input: Mapping[str, Any], return_type: type, retry_policy: object = None
    ) -> _Asked:
        return _Asked(name, input)

    def create_timer(self, delay: timedelta) -> _Delay:
        return _Delay(delay)

    def continue_as_new(self, given: dict[str, Any], *, save_events: bool) -> None:
        self.continued = given

    def call_sub_orchestrator(
        self, name: str, *, input: dict[str, Any], return_type: type, instance_id: str | None = None
    ) -> CompletableTask[Any]:
        task: CompletableTask[Any] = CompletableTask()
        task.complete(self._driver.run(name, input))
        return task


def _for_people(request: Any) -> bool:
    """Whether it waits until somebody does something."""
    if isinstance(request, _Waiting):
        return True
    waits = () if isinstance(request, _Asked | _Delay) or request.is_complete else request.get_tasks()
    return any(isinstance(one, _Waiting) and one.name.startswith("approval-") for one in waits)


class Driver:
    """Drives orchestrations over some services. `calls` are the activities that were called."""

    def __init__(self, services: Services, skip: Callable[[timedelta], None]) -> None:
        self.services = services
        self.skip = skip
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def run(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """The orchestration's answer; or that it is SUSPENDED, when it waits for someone."""
        while True:
            context = _Context(self)
            result = self._drive(_ORCHESTRATORS[name](cast(OrchestrationContext, context), given))
            if context.continued is None:
                return result or {}
            given = context.continued

    def _drive(self, steps: Steps) -> dict[str, Any] | None:
        request = next(steps)
        try:
            while True:
                if _for_people(request):
                    return dict(SUSPENDED)
                request = steps.send(self._answer(request))
        except StopIteration as end:
            result: dict[str, Any] | None = end.value
            return result

    def _answer(self, request: Any) -> Any:
        if isinstance(request, _Asked):
            return self._call(request)
        if isinstance(request, _Delay):
            self.skip(request.delay)
            return None
        if isinstance(request, Task) and request.is_complete:
            return request.get_result()
        delay = next(task for task in request.get_tasks() if isinstance(task, _Delay))
        self.skip(delay.delay)
        return delay

    def _call(self, asked: _Asked) -> dict[str, Any]:
        self.calls.append((asked.name, asked.given))
        if asked.name == RUN_CHUNKS:
            return run_chunks(self.services, ChunksInput.from_dict(asked.given)).to_dict()
        if asked.name == NOTIFY:
            return {}
        return run_segment(self.services, SegmentInput.from_dict(asked.given)).to_dict()
