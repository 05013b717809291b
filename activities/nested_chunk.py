"""A chunk whose work is a run of another workflow."""

from datetime import timedelta

from activities.at_work import AtWork
from activities.chunk_lanes import Lane
from activities.contract import ChunksOutcome, Then
from activities.finishing import failure_of
from activities.interruption import check_going
from activities.nesting import Child, check_ended_well, child_for, has_ended
from activities.services import ENGINE, Services
from activities.verbs.nested import LOOKED_AFTER_SECONDS
from activities.work import Work
from kernel.errors import SluiceError, Unavailable
from kernel.ids import new_id
from store import chunks
from store.chunks import ChunkEnd
from workflows.states import TaskState


def run_nested_chunk(services: Services, at_work: AtWork, lane: Lane) -> ChunksOutcome:
    """Start the chunk's run, or write down what has become of it."""
    work = Work(
        services, at_work.run, at_work.workflow, at_work.step, lane.context, new_id(), None, lane.chunk
    )
    try:
        child = child_for(work, at_work.dispatch, lane.chunk.started_at)
    except Unavailable:
        raise
    except SluiceError as exc:
        return _ended(work, _failed(work, exc))
    if child.starts:
        return _started(work, child)
    if not has_ended(child.run):
        return _waiting(work)
    try:
        check_ended_well(work, child.run)
    except SluiceError as exc:
        return _ended(work, _failed(work, exc))
    assert work.chunk is not None
    return _ended(work, ChunkEnd(work.chunk.id, TaskState.SUCCEEDED))


def _failed(work: Work, error: SluiceError) -> ChunkEnd:
    assert work.chunk is not None
    return ChunkEnd(work.chunk.id, TaskState.FAILED, failure_of(work.step.key, error))


def _started(work: Work, child: Child) -> ChunksOutcome:
    assert work.chunk is not None
    with work.services.database.transaction(ENGINE) as connection:
        check_going(connection, work)
        chunks.name_child(connection, work.chunk.id, child.run.id)
    return ChunksOutcome(Then.NESTED, (), 0.0, str(child.run.id), child.run.execution)


def _waiting(work: Work) -> ChunksOutcome:
    """Its orchestration is lost to this one: the run looks after it now and then."""
    assert work.chunk is not None
    until = work.services.clock() + timedelta(seconds=LOOKED_AFTER_SECONDS)
    with work.services.database.transaction(ENGINE) as connection:
        check_going(connection, work)
        chunks.await_chunks(connection, [work.chunk.id], until)
    return ChunksOutcome(Then.DONE)


def _ended(work: Work, end: ChunkEnd) -> ChunksOutcome:
    with work.services.database.transaction(ENGINE) as connection:
        check_going(connection, work)
        chunks.finish_chunks(connection, [end], work.services.clock())
    return ChunksOutcome(Then.DONE)
