"""Runs the steps of one segment, in order, with the context in memory."""

import logging
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from activities.contract import Next, Outcome, SegmentInput
from activities.finishing import fail_run, finish_run
from activities.retrying import retry_delay
from activities.services import ENGINE, Services
from activities.verbs.fetch import fetch, lookup
from activities.verbs.govern import govern
from activities.verbs.logic_gate import logic_gate
from activities.verbs.push import push
from activities.verbs.transform import transform
from activities.work import Result, Work
from kernel.errors import InternalError, SluiceError, Unavailable
from kernel.ids import new_id
from kernel.redaction import redact_error
from kernel.traces import trace_of
from kernel.verbs import SideEffect, Verb
from store import runs
from store.runs import RunRow, TaskRow
from store.workflows import version_by_id
from workflows.context import PipelineContext, StepOutput, pipeline_context
from workflows.model import Step, Workflow
from workflows.planning import Plan
from workflows.rows import plain
from workflows.states import TERMINAL_RUN_STATES, RunState, TaskState

logger = logging.getLogger(__name__)

EXECUTORS: Mapping[Verb, Callable[[Work], Result]] = {
    Verb.FETCH: fetch,
    Verb.LOOKUP: lookup,
    Verb.TRANSFORM: transform,
    Verb.GOVERN: govern,
    Verb.LOGIC_GATE: logic_gate,
    Verb.PUSH: push,
}


def run_segment(services: Services, given: SegmentInput) -> Outcome:
    """Execute a segment; may run twice at any point.

    Raises `NotFound` when the run row does not exist (no row, no run) and `Unavailable` when our own database
    or storage does not answer; what connected systems do is in the outcome.
    """
    return _Segment(services, given).run()


class _Segment:
    def __init__(self, services: Services, given: SegmentInput) -> None:
        self.services = services
        self.run_id = UUID(given.run_id)
        self.index = given.segment
        self.token = new_id()

    def run(self) -> Outcome:
        run = self._begin()
        if run.state in TERMINAL_RUN_STATES:
            return Outcome(Next.ENDED, self.index, state=run.state)
        with self.services.database.reading() as connection:
            version = version_by_id(connection, run.version_id)
            tasks = {task.step_key: task for task in runs.get_tasks(connection, self.run_id)}
        workflow = Workflow.model_validate(version.definition)
        plan = Plan.from_dict(dict(version.plan))
        saved = self.services.contexts.load(self.services.database, self.run_id, self.index)
        with pipeline_context(_restored(saved, tasks, plan, self.index)) as context:
            return self._steps(run, workflow, plan, tasks, context)

    def _begin(self) -> RunRow:
        now = self.services.clock()
        with self.services.database.transaction(ENGINE) as connection:
            run = runs.get_run(connection, self.run_id)
            if run.state is RunState.PENDING:
                runs.move_run(connection, self.run_id, RunState.RUNNING, started_at=now)
                run = runs.get_run(connection, self.run_id)
        return run

    def _steps(
        self,
        run: RunRow,
        workflow: Workflow,
        plan: Plan,
        tasks: Mapping[str, TaskRow],
        context: PipelineContext,
    ) -> Outcome:
        jump: str | None = None
        for key in plan.segments[self.index].steps:
            step = workflow.step(key)
            if jump not in (None, key):
                self._skip(key)
                continue
            jump = None
            if tasks[key].state is TaskState.SKIPPED or _is_done(step, tasks[key]):
                continue
            work = Work(self.services, run, workflow, step, context, self.token)
            result = self._step(work, tasks[key])
            if isinstance(result, Outcome):
                return result
            jump = result.jump
            if jump == "end":
                break
        return self._leave(workflow, plan, context, jump)

    def _leave(self, workflow: Workflow, plan: Plan, context: PipelineContext, jump: str | None) -> Outcome:
        if jump == "end" or self.index + 1 == len(plan.segments):
            return finish_run(self.services, self.run_id, workflow, self.index)
        following = self.index + 1 if jump is None else plan.segment_of(jump)
        for segment in plan.segments[self.index + 1 : following]:
            for key in segment.steps:
                self._skip(key)
        if jump is not None:
            for key in _before(plan.segments[following].steps, jump):
                self._skip(key)
        carried = {k: o for k, o in context.outputs().items() if k in plan.segments[following - 1].carries}
        kept = {key: output for key, output in carried.items() if output.records is not None}
        self.services.contexts.save(self.services.database, self.run_id, following - 1, kept, ENGINE)
        return Outcome(Next.CONTINUE, following)

    def _step(self, work: Work, task: TaskRow) -> Result | Outcome:
        """Run one step and record it; an `Outcome` when the segment cannot go on."""
        key, now = work.step.key, self.services.clock()
        with self.services.database.transaction(ENGINE) as connection:
            runs.begin_task(connection, self.run_id, key, now)
        try:
            result = EXECUTORS[work.step.verb](work)
        except Unavailable:
            raise
        except SluiceError as exc:
            return self._failed(work, task, redact_error(exc, _sensitive(work)))
        except Exception as exc:  # noqa: BLE001 - the one boundary around steps: a fault of ours ends visibly
            fields = {"run_id": str(self.run_id), "step": key}
            logger.error("step failed: %s", trace_of(exc), extra=fields)
            error = InternalError(f"The step stopped with an unexpected {type(exc).__name__}; see the log.")
            return self._failed(work, task, error)
        if result.unfinished:
            return Outcome(Next.CONTINUE, self.index)
        self._succeeded(work, result)
        return result

    def _succeeded(self, work: Work, result: Result) -> None:
        if result.output is not None:
            work.context.put(work.step.key, result.output)
        measures = {name: _plain_map(parts) for name, parts in result.measures.items()}
        with self.services.database.transaction(ENGINE) as connection:
            runs.succeed_task(
                connection, self.run_id, work.step.key, self.services.clock(), dict(result.counts), measures
            )

    def _failed(self, work: Work, task: TaskRow, error: SluiceError) -> Outcome:
        key = work.step.key
        wait = retry_delay(work.step.retry, max(1, task.attempt), error)
        if wait is not None:
            logger.warning("step waits", extra={"run_id": str(self.run_id), "step": key, "code": error.code})
            with self.services.database.transaction(ENGINE) as connection:
                runs.count_attempt(connection, self.run_id, key)
            return Outcome(Next.RETRY, self.index, wait_seconds=wait.total_seconds())
        return fail_run(self.services, self.run_id, key, error, self.index)

    def _skip(self, key: str) -> None:
        with self.services.database.transaction(ENGINE) as connection:
            runs.move_task(connection, self.run_id, key, TaskState.SKIPPED, finished_at=self.services.clock())


def _is_done(step: Step, task: TaskRow) -> bool:
    """A write that succeeded is never repeated; reads and pure steps are, to have their records again."""
    return step.verb.side_effect is SideEffect.WRITE and task.state is TaskState.SUCCEEDED


def _sensitive(work: Work) -> frozenset[str]:
    """The step's own sensitive fields and those of everything before it."""
    before = (output.sensitive for output in work.context.outputs().values())
    return frozenset(work.step.sensitive).union(*before)


def _restored(
    saved: Mapping[str, StepOutput], tasks: Mapping[str, TaskRow], plan: Plan, index: int
) -> dict[str, StepOutput]:
    """Outputs of earlier segments: records from the sealed context, measures from the task rows."""
    earlier = [key for segment in plan.segments[:index] for key in segment.steps]
    outputs = {}
    for key in earlier:
        task = tasks[key]
        if task.state is TaskState.SUCCEEDED:
            kept = saved.get(key, StepOutput())
            outputs[key] = StepOutput(dict(_accepted(task)), kept.records, kept.sensitive)
    return outputs


def _accepted(task: TaskRow) -> Iterator[tuple[str, Any]]:
    for name, parts in (task.measures or {}).items():
        if isinstance(parts, Mapping) and "total" in parts:
            total, rejected = Decimal(parts["total"]), Decimal(parts["rejected"])
            accepted = total - rejected
            yield name, int(accepted) if isinstance(parts["total"], int) else accepted


def _plain_map(parts: Any) -> Any:
    return {name: plain(value) for name, value in parts.items()} if isinstance(parts, Mapping) else parts


def _before(keys: tuple[str, ...], stop: str) -> tuple[str, ...]:
    return keys[: keys.index(stop)]
