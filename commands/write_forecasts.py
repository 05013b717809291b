"""What becomes of the records of a write, from how they stand in the posting ledger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from adapters.contract import Idempotency
from commands.courses import Course
from commands.deployment import StoredCatalogue
from commands.foreseen import Counts
from workflows.model import Push
from workflows.states import PostingState, RunState

_SETTLED_BY: Mapping[Idempotency, str] = MappingProxyType(
    {Idempotency.NATIVE: "sends_again", Idempotency.LOOKUP: "looks_up", Idempotency.NONE: "holds"}
)


@dataclass(frozen=True)
class Standing:
    """How records of a write stand: postings of the run by state, records that others have posted, and those
    that others have in their hands."""

    rows: Counter[PostingState]
    already_posted: int = 0
    elsewhere: int = 0

    @property
    def confirmed(self) -> Counts:
        """What is in the system stays there."""
        return Counts(skips_confirmed=self.rows[PostingState.CONFIRMED] + self.already_posted)


@dataclass(frozen=True)
class WriteForecast:
    """A write of a run that takes a course. `idempotency` is that of its operation."""

    course: Course
    state: RunState
    idempotency: Idempotency

    @classmethod
    def of(cls, course: Course, state: RunState, push: Push, catalogue: StoredCatalogue) -> "WriteForecast":
        """For the operation that the write names; one that is not known any more holds what is in doubt."""
        operation = catalogue.operations(push.connector).get(push.operation)
        idempotency: Any = getattr(operation, "idempotency", Idempotency.NONE)
        return cls(course, state, idempotency)

    def going(self, standing: Standing) -> Counts:
        """The write goes on, or begins again, with these records."""
        rows, flying = standing.rows, self._flying(standing)
        doubtful = rows[PostingState.SENT] + rows[PostingState.IN_DOUBT] - flying
        rest = Counts(
            posts=rows[PostingState.INTENDED],
            posts_again=rows[PostingState.REJECTED] if self.course.tries_rejected else 0,
            in_flight=flying,
            elsewhere=standing.elsewhere,
        )
        return standing.confirmed + rest + Counts(**{_SETTLED_BY[self.idempotency]: doubtful})

    def stopping(self, standing: Standing) -> Counts:
        """The write stops where it is."""
        rows, flying, pauses = standing.rows, self._flying(standing), self.course.pauses
        left = rows[PostingState.INTENDED] + standing.elsewhere
        doubtful = rows[PostingState.SENT] + rows[PostingState.IN_DOUBT] - flying
        holds = doubtful if pauses else doubtful + left
        return Counts(in_flight=flying, waits=left if pauses else 0, holds=holds)

    def _flying(self, standing: Standing) -> int:
        return standing.rows[PostingState.SENT] if self.state is RunState.RUNNING else 0
