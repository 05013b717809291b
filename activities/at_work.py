"""Runs whose chunks this process works on, with what never changes while they do."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from activities.restoring import restored
from kernel.errors import NotFound
from store import runs
from store.database import Database
from store.definitions import Definitions
from store.runs import RunRow
from workflows.context import StepOutput
from workflows.model import Dispatch, Step, Workflow

_REMEMBERED = 64


@dataclass(frozen=True)
class AtWork:
    """A run in one of its executions, a dispatch of it, and what the steps before that have measured.

    The run's state and what is asked of it are as they were once: ask the database for these.
    """

    run: RunRow
    workflow: Workflow
    step: Step
    measured: Mapping[str, StepOutput]

    @property
    def dispatch(self) -> Dispatch:
        """The step's part."""
        assert self.step.dispatch is not None
        return self.step.dispatch


class RunsAtWork:
    """The dispatches that this process worked on last. One instance serves many threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, int, str], AtWork] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self, database: Database, definitions: Definitions, run_id: UUID, execution: int, step: str
    ) -> AtWork | None:
        """The dispatch `step` of a run; `None` when another execution works on the run."""
        key = (run_id, execution, step)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        read = _read(database, definitions, run_id, step)
        if read.run.execution != execution:
            return None
        with self._lock:
            self._known[key] = read
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return read


def _read(database: Database, definitions: Definitions, run_id: UUID, key: str) -> AtWork:
    with database.reading() as connection:
        run = runs.get_run(connection, run_id)
        workflow = definitions.of(connection, run.version_id).workflow
        tasks = {task.step_key: task for task in runs.get_tasks(connection, run_id)}
    keys = [step.key for step in workflow.steps]
    if key not in keys:
        raise NotFound(f"The run {run_id} has no step {key!r}.")
    earlier = keys[: keys.index(key)]
    return AtWork(run, workflow, workflow.step(key), restored({}, tasks, earlier))
