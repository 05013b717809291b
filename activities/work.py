"""One step at work: what its verb is given and what it gives back."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activities.contract import Outcome
from activities.hearing import Hearing
from activities.notes import Notes
from activities.services import Services
from adapters.contract import Adapter, Connector
from kernel.errors import InternalError, InvalidData, TimedOut
from kernel.records import Records
from store.chunks import ChunkRow
from store.connectors import get_connector
from store.dead_letters import repaired_step
from store.gates import Slot
from store.runs import RunRow
from workflows.context import PipelineContext, StepOutput
from workflows.expressions import fill
from workflows.inputs import parse_inputs
from workflows.model import Call, Step, Workflow

if TYPE_CHECKING:
    from activities.approving import Asks

CHUNK = "chunk"
"""The name under which the steps of a chunk find its record."""


@dataclass(frozen=True)
class Source:
    """Records of an earlier step, and which of their columns are sensitive."""

    records: Records
    sensitive: frozenset[str]


def tables(sources: Mapping[str, Source]) -> dict[str, Records]:
    """The records by step key, for SQL."""
    return {key: source.records for key, source in sources.items()}


@dataclass(frozen=True)
class Work:
    """A step of a run, or of one of its chunks, with the context so far. `token` is unique to this execution
    of the activity; `deadline` is when the step has to be over. `fresh` tells steps that never began before;
    `notes` is what is still to be written down, `slots` are the places in gates that are to be kept. Chunks
    that go together share both."""

    services: Services
    run: RunRow
    workflow: Workflow
    step: Step
    context: PipelineContext
    token: UUID
    deadline: datetime | None = None
    chunk: ChunkRow | None = None
    fresh: bool = False
    notes: Notes = field(default_factory=Notes)
    hearing: Hearing = field(default_factory=Hearing)
    slots: list[Slot] = field(default_factory=list)

    @property
    def chunk_id(self) -> UUID | None:
        """The chunk's id; `None` for a step of the run itself."""
        return None if self.chunk is None else self.chunk.id

    @cached_property
    def replaced(self) -> str | None:
        """In a run that repairs dead letters: the step whose output they stand for. `InvalidData` when there
        are none of this run any more."""
        if self.run.repair_of is None:
            return None
        with self.services.database.reading() as connection:
            rejecting = repaired_step(connection, self.run.id)
        if rejecting is None:
            raise InvalidData("The dead letters of this run were taken up by another run; look at that one.")
        return self.workflow.step(rejecting).rejecting

    def check_time(self) -> None:
        """Raise `TimedOut` when the step should be over. To be asked between pages and between batches: it
        also keeps the step's place in its connector's gate, see `Slot.keep`."""
        if self.deadline is not None and self.services.clock() >= self.deadline:
            raise TimedOut(
                f"The step {self.step.key!r} was not done within its timeout of {self.step.timeout}. Nothing "
                "that was done is lost; raise the timeout or find out what is slow, then retry the run."
            )
        for slot in self.slots:
            slot.keep()

    def values(self) -> dict[str, Any]:
        """What expressions may read: measures by step key, the run itself, and the record of the chunk."""
        measures = self.context.measures()
        chunk = {} if measures.pop(CHUNK, None) is None else {CHUNK: self.source(CHUNK).records.rows[0]}
        run = {
            "id": str(self.run.id),
            "workflow": self.run.workflow,
            "version": str(self.run.version),
            "requested_by": self.run.requested_by,
            "created_at": self.run.created_at.isoformat(),
        }
        return {
            **measures,
            **chunk,
            "inputs": parse_inputs(self.workflow, self.run.inputs),
            "run": run,
            "steps": measures,
            "environment": self.services.environment,
        }

    def output(self, key: str) -> StepOutput:
        """What an earlier step left. Raises `InvalidData` when a logic gate bypassed it."""
        output = self.context.outputs().get(key)
        if output is None:
            raise InvalidData(
                f"The step {self.step.key!r} needs {key!r}, which a logic gate bypassed. Let the gate jump "
                "to a step that does without it."
            )
        return output

    def source(self, key: str) -> Source:
        """The records of an earlier step; raises as `output` does."""
        output = self.output(key)
        if output.records is None:
            raise InternalError(f"The records of {key!r} are not there any more; start the run again.")
        return Source(output.records, output.sensitive)

    def sources(self, keys: Iterable[str]) -> dict[str, Source]:
        """The same for several steps, by key."""
        return {key: self.source(key) for key in sorted(keys)}

    def parameters(self, call: Call) -> Mapping[str, Any]:
        """The call's parameters with their templates filled in."""
        filled: Mapping[str, Any] = fill(call.with_, self.values())
        return filled

    @contextmanager
    def adapter(self, call: Call) -> Iterator[Adapter]:
        """An adapter of the call's connector, for this use alone. What it says is cleaned; see `hearing`.
        Raises `Busy` when as many steps work with the connector as it allows."""
        with self.services.database.reading() as connection:
            row = get_connector(connection, call.connector)
        connector = Connector(row.key, row.system, row.settings, row.secrets, self.services.environment)
        limit = connector.common_settings.concurrency
        with (
            self.services.gates.enter(row.key, self.services.environment, limit) as slot,
            self.services.adapters.lend(connector, self.hearing) as adapter,
        ):
            self.slots.append(slot)
            try:
                yield adapter
            finally:
                self.slots.remove(slot)


@dataclass(frozen=True)
class Result:
    """What a step did. `measures` has the parts of each measure: total and rejected, or one for each fate.

    `jump` is where a logic gate goes (`end` or a step key); `unfinished` asks to be continued later, and
    `meanwhile` says what the orchestrator does before that. `batch_digest` is of what a write has sent;
    `asks` is what people are to be asked, or were asked in vain.
    """

    output: StepOutput | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    jump: str | None = None
    unfinished: bool = False
    meanwhile: Outcome | None = None
    batch_digest: str | None = None
    asks: "Asks | None" = None

    @property
    def done(self) -> bool:
        """Whether the step is over."""
        return not self.unfinished and self.meanwhile is None and (self.asks is None or not self.asks.waits)
