"""Runs the steps of one segment, in order, with the context in memory."""

import logging
from collections.abc import Callable, Iterator, Mapping, Set
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
from kernel.errors import InternalError, NotFound, SluiceError, Unavailable
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

EXECUTORS: Mapping[Verb, Callable[[Work, Any], Result]] = {
    Verb.FETCH: fetch,
    Verb.LOOKUP: lookup,
    Verb.TRANSFORM: transform,
    Verb.GOVERN: govern,
    Verb.LOGIC_GATE: logic_gate,
    Verb.PUSH: push,
}
"""Each takes the work and the step's part of that verb."""


def run_segment(services: Services, given: SegmentInput) -> Outcome:
    """Execute a segment; may run twice at any point.

    Raises `NotFound` when the run row does not exist (no row, no run) and `Unavailable` when our own database
    or storage does not answer. Everything else is in the outcome: a run never stops without saying so.
    """
    segment = _Segment(services, given)
    try:
        return segment.run()
    except (NotFound, Unavailable):
        raise
    except Exception as exc:  # noqa: BLE001 - the boundary of the activity: what is wrong ends the run visibly
        fields = {"run_id": given.run_id, "segment": given.segment}
        logger.error("segment failed: %s", trace_of(exc), extra=fields)
        error = exc if isinstance(exc, SluiceError) else _unexpected("run", exc)
        return fail_run(services, segment.run_id, None, error, given.segment)


class _Segment:
    def __init__(self, services: Services, given: SegmentInput) -> None:
        self.services = services
        self.run_id = UUID(given.run_id)
        self.index = given.segment
        self.token = new_id()

    def run(self) -> Outcome:
        run = self._begin()
        if run.state in TERMINAL_RUN_STATES:
            self.services.contexts.destroy(self.run_id)  # the execution that ended it may have died before
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
        bypassed = {key for key, task in tasks.items() if task.state is TaskState.SKIPPED}
        for key in plan.segments[self.index].steps:
            if key in bypassed:
                continue
            step = workflow.step(key)
            result: Result | Outcome | None = _standing(step, tasks[key])
            if result is None:
                work = Work(self.services, run, workflow, step, context, self.token)
                result = self._step(work, tasks[key])
            if isinstance(result, Outcome):
                return result
            if result.jump is not None:
                bypassed |= self._bypass(workflow, key, result.jump)
        return self._leave(workflow, plan, context, bypassed)

    def _bypass(self, workflow: Workflow, gate: str, target: str) -> set[str]:
        """Skip what lies between a gate and its target, all at once: a crash must not leave a policy
        skipped and the write behind it not."""
        keys = [step.key for step in workflow.steps]
        stop = len(keys) if target == "end" else keys.index(target)
        bypassed = keys[keys.index(gate) + 1 : stop]
        with self.services.database.transaction(ENGINE) as connection:
            runs.finish_tasks(
                connection, self.run_id, TaskState.SKIPPED, self.services.clock(), keys=bypassed
            )
        return set(bypassed)

    def _leave(self, workflow: Workflow, plan: Plan, context: PipelineContext, bypassed: Set[str]) -> Outcome:
        later = range(self.index + 1, len(plan.segments))
        following = next((index for index in later if set(plan.segments[index].steps) - bypassed), None)
        if following is None:
            return finish_run(self.services, self.run_id, workflow, self.index)
        carries = plan.segments[following - 1].carries
        carried = {key: output for key, output in context.outputs().items() if key in carries}
        self.services.contexts.save(self.services.database, self.run_id, following - 1, carried, ENGINE)
        return Outcome(Next.CONTINUE, following)

    def _step(self, work: Work, task: TaskRow) -> Result | Outcome:
        """Run one step and record it; an `Outcome` when the segment cannot go on."""
        key, now = work.step.key, self.services.clock()
        with self.services.database.transaction(ENGINE) as connection:
            runs.begin_task(connection, self.run_id, key, now)
        try:
            verb = work.step.verb
            result = EXECUTORS[verb](work, getattr(work.step, verb))
        except Unavailable:
            raise
        except SluiceError as exc:
            return self._failed(work, task, redact_error(exc, _sensitive(work)))
        except Exception as exc:  # noqa: BLE001 - the one boundary around steps: a fault of ours ends visibly
            fields = {"run_id": str(self.run_id), "step": key}
            logger.error("step failed: %s", trace_of(exc), extra=fields)
            return self._failed(work, task, _unexpected("step", exc))
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


def _standing(step: Step, task: TaskRow) -> Result | None:
    """What stands from an earlier execution: a write is never repeated, and a gate decides once. Reads and
    pure steps are repeated, to have their records again, and policies, because records may have changed."""
    if task.state is not TaskState.SUCCEEDED:
        return None
    if step.logic_gate:
        return Result(jump=None if (task.counts or {})["open"] else step.logic_gate.otherwise)
    return Result() if step.verb.side_effect is SideEffect.WRITE else None


def _unexpected(what: str, exc: Exception) -> InternalError:
    """A fault of ours, without its message: that may quote record values."""
    return InternalError(f"The {what} stopped with an unexpected {type(exc).__name__}; see the log.")


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
