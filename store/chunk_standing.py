"""How the records stand that chunks write: what a forecast needs to know of a write inside a dispatch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from workflows.states import PostingState, TaskState

# What a chunk has counted of its records and the ledger does not have of it is in the hands of others, if the
# ledger has anything of it at all.
_STANDING = text(
    "WITH ledger AS ("
    " SELECT chunk_id, count(*) AS claimed, count(*) FILTER (WHERE state = 'INTENDED') AS intended,"
    " count(*) FILTER (WHERE state = 'SENT') AS sent,"
    " count(*) FILTER (WHERE state = 'CONFIRMED') AS confirmed,"
    " count(*) FILTER (WHERE state = 'REJECTED') AS rejected,"
    " count(*) FILTER (WHERE state = 'IN_DOUBT') AS in_doubt"
    " FROM sluice.posting WHERE run_id = :run_id AND step_key = :write AND chunk_id IS NOT NULL"
    " GROUP BY chunk_id),"
    " counted AS ("
    " SELECT chunk.id, chunk.state, task.counts IS NOT NULL AS begun,"
    " coalesce((task.counts->>'records')::bigint, 0) AS records,"
    " coalesce((task.counts->>'already_posted')::bigint, 0) AS already_posted,"
    " coalesce((task.counts->>'rejected')::bigint, 0) AS rejected"
    " FROM sluice.chunk_run chunk LEFT JOIN sluice.task_run task ON task.run_id = chunk.run_id"
    " AND task.chunk_id = chunk.id AND task.step_key = :write"
    " WHERE chunk.run_id = :run_id AND chunk.step_key = :dispatch)"
    " SELECT counted.state, count(*) FILTER (WHERE NOT begun AND claimed IS NULL) AS fresh,"
    " count(*) FILTER (WHERE begun AND claimed IS NULL"
    "   AND records > counted.already_posted + counted.rejected) AS unclaimed,"
    " sum(intended) AS intended, sum(sent) AS sent, sum(confirmed) AS confirmed,"
    " sum(ledger.rejected) AS rejected, sum(in_doubt) AS in_doubt,"
    " sum(already_posted) AS already_posted,"
    " sum(greatest(0, records - claimed - already_posted"
    "   - greatest(0, counted.rejected - ledger.rejected))) AS elsewhere"
    " FROM counted LEFT JOIN ledger ON ledger.chunk_id = counted.id GROUP BY counted.state"
).bindparams(bindparam("run_id", type_=PGUUID(as_uuid=True)))


@dataclass(frozen=True)
class ChunkStanding:
    """The chunks of one state: how many have not come to the write (`fresh`), how many have and left nothing
    in the ledger though there was something to write (`unclaimed`), and how the others' records stand."""

    fresh: int
    unclaimed: int
    rows: Counter[PostingState]
    already_posted: int
    elsewhere: int


def chunk_standing(
    connection: Connection, run_id: UUID, dispatch: str, write: str
) -> Mapping[TaskState, ChunkStanding]:
    """By state of the chunks, how the records of the write stand."""
    found = connection.execute(_STANDING, {"run_id": run_id, "dispatch": dispatch, "write": write})
    standing = {}
    for row in found.mappings():
        rows = Counter({state: int(row[state.lower()] or 0) for state in PostingState})
        standing[TaskState(row["state"])] = ChunkStanding(
            row["fresh"], row["unclaimed"], rows, int(row["already_posted"]), int(row["elsewhere"] or 0)
        )
    return standing
