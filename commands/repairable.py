"""Which dead letters a repair run can take up: records of the run's own steps."""

from collections.abc import Sequence

from sqlalchemy import Connection

from kernel.errors import Conflict
from store.chunk_list import get_chunk
from store.dead_letters import DeadLetter
from workflows.model import Workflow

_REMEDY = (
    "Correct the record at its source, or what refused it, then replay the run: what is posted is skipped. "
    "Discard the letter when that has gone well."
)


def check_repairable(connection: Connection, workflow: Workflow, letters: Sequence[DeadLetter]) -> None:
    """Raise `Conflict` unless a repair run can do with the records what the run would have done.

    A repair run puts the records in the place of a step's output. In a chunk that output is one of many, and
    what else the chunk had is gone; a dispatch that reads its records itself has no output at all.
    """
    for letter in letters:
        if letter.chunk_id is not None:
            chunk = get_chunk(connection, letter.chunk_id)
            raise Conflict(
                f"The dead letter {letter.id} was set aside by {letter.step_key!r} in chunk {chunk.number} "
                f"of {chunk.step_key!r}; a repair run cannot go on in the middle of a chunk. {_REMEDY}"
            )
        part = workflow.step(letter.step_key).dispatch
        if part is not None and part.source is None:
            raise Conflict(
                f"The dead letter {letter.id} was set aside by {letter.step_key!r}, which reads its records "
                f"itself; a repair run has no step to put them in. {_REMEDY}"
            )
