"""How the records stand that chunks write: what a forecast needs to know of a write inside a dispatch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from workflows.states import PostingState, TaskState

# What is known of a chunk in three tables comes together by its id, in one pass: a join of so many rows would
# be at the mercy of what the planner guesses of them. What a chunk has counted of its records and the ledger
# does not have is in the hands of others, if the ledger has anything of it at all.
_STANDING = text(
    "WITH part AS ("
    " SELECT id AS chunk, state, NULL::jsonb AS counts, NULL AS posting FROM sluice.chunk_run"
    " WHERE run_id = :run_id AND step_key = :dispatch"
    " UNION ALL SELECT chunk_id, NULL, counts, NULL FROM sluice.task_run"
    " WHERE run_id = :run_id AND step_key = :write AND chunk_id IS NOT NULL AND counts IS NOT NULL"
    " UNION ALL SELECT chunk_id, NULL, NULL, state FROM sluice.posting"
    " WHERE run_id = :run_id AND step_key = :write AND chunk_id IS NOT NULL),"
    " whole AS ("
    " SELECT max(state) AS state, count(counts) AS begun, count(posting) AS claimed,"
    " count(*) FILTER (WHERE posting = 'INTENDED') AS intended,"
    " count(*) FILTER (WHERE posting = 'SENT') AS sent,"
    " count(*) FILTER (WHERE posting = 'CONFIRMED') AS confirmed,"
    " count(*) FILTER (WHERE posting = 'REJECTED') AS rejected,"
    " count(*) FILTER (WHERE posting = 'IN_DOUBT') AS in_doubt,"
    " coalesce(sum((counts->>'records')::bigint), 0) AS records,"
    " coalesce(sum((counts->>'already_posted')::bigint), 0) AS already_posted,"
    " coalesce(sum((counts->>'rejected')::bigint), 0) AS counted_rejected"
    " FROM part GROUP BY chunk)"
    " SELECT state, count(*) FILTER (WHERE begun = 0 AND claimed = 0) AS fresh,"
    " count(*) FILTER (WHERE begun > 0 AND claimed = 0 AND records > already_posted + counted_rejected)"
    " AS unclaimed,"
    " sum(intended) AS intended, sum(sent) AS sent, sum(confirmed) AS confirmed, sum(rejected) AS rejected,"
    " sum(in_doubt) AS in_doubt, sum(already_posted) AS already_posted,"
    " sum(greatest(0, records - claimed - already_posted - greatest(0, counted_rejected - rejected)))"
    " FILTER (WHERE claimed > 0) AS elsewhere"
    " FROM whole WHERE state IS NOT NULL GROUP BY state"
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
        rows = Counter({state: int(row[state.lower()]) for state in PostingState})
        standing[TaskState(row["state"])] = ChunkStanding(
            row["fresh"], row["unclaimed"], rows, int(row["already_posted"]), int(row["elsewhere"] or 0)
        )
    return standing
