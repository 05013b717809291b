"""What the steps of chunks have measured, added up."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import Text

_MEASURES = text(
    "SELECT task.step_key, part.key AS measure,"
    " sum((part.value->>'total')::numeric) AS total, sum((part.value->>'rejected')::numeric) AS rejected,"
    " bool_and(jsonb_typeof(part.value->'total') = 'number') AS whole"
    " FROM sluice.task_run task JOIN sluice.chunk_run chunk ON chunk.id = task.chunk_id"
    " CROSS JOIN LATERAL jsonb_each(task.measures) part"
    " WHERE task.run_id = :run_id AND task.step_key = ANY(:steps) AND chunk.state = 'SUCCEEDED'"
    " AND task.state = 'SUCCEEDED' AND part.value ? 'total'"
    " GROUP BY task.step_key, part.key"
).bindparams(bindparam("run_id", type_=PGUUID(as_uuid=True)), bindparam("steps", type_=ARRAY(Text)))


def measures(connection: Connection, run_id: UUID, steps: Collection[str]) -> dict[str, dict[str, Any]]:
    """By step and measure: the total over all chunks that ended well, and what of it was rejected."""
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_MEASURES, {"run_id": run_id, "steps": list(steps)}):
        total, rejected = (int(n) if row.whole else n for n in (row.total, row.rejected))
        found.setdefault(row.step_key, {})[row.measure] = {"total": total, "rejected": rejected}
    return found


# What was read and never came to the write, because the chunk failed before, is held.
_WRITTEN = text(
    "SELECT part.key AS measure, sum((part.value->>'total')::numeric) AS read,"
    " sum((part.value->>'rejected')::numeric) AS set_aside,"
    " coalesce(sum((written.value->>'posted')::numeric), 0) AS posted,"
    " coalesce(sum((written.value->>'already_posted')::numeric), 0) AS already_posted,"
    " coalesce(sum((written.value->>'rejected')::numeric), 0) AS rejected,"
    " coalesce(sum((written.value->>'held')::numeric), 0) AS held,"
    " coalesce(sum((part.value->>'total')::numeric - (part.value->>'rejected')::numeric)"
    "   FILTER (WHERE written.value IS NULL), 0) AS unsent"
    " FROM sluice.task_run source CROSS JOIN LATERAL jsonb_each(source.measures) part"
    " LEFT JOIN sluice.task_run write ON write.run_id = source.run_id AND write.chunk_id = source.chunk_id"
    "   AND write.step_key = :write"
    " LEFT JOIN LATERAL jsonb_each(write.measures) written ON written.key = part.key"
    " WHERE source.run_id = :run_id AND source.chunk_id IS NOT NULL AND source.step_key = :source"
    " AND part.value ? 'total' GROUP BY part.key ORDER BY part.key"
).bindparams(bindparam("run_id", type_=PGUUID(as_uuid=True)))


@dataclass(frozen=True)
class Written:
    """One measure of the records that a write inside a dispatch was to send, over all chunks."""

    measure: str
    read: Decimal
    set_aside: Decimal
    posted: Decimal
    already_posted: Decimal
    rejected: Decimal
    held: Decimal
    unsent: Decimal


# A write of the chunks' own records: each has one.
_OWN = text(
    "SELECT 'records' AS measure, count(*)::numeric AS read, 0::numeric AS set_aside,"
    " coalesce(sum((write.counts->>'posted')::numeric), 0) AS posted,"
    " coalesce(sum((write.counts->>'already_posted')::numeric), 0) AS already_posted,"
    " coalesce(sum((write.counts->>'rejected')::numeric), 0) AS rejected,"
    " coalesce(sum((write.counts->>'held')::numeric), 0) AS held,"
    " (count(*) FILTER (WHERE write.counts IS NULL))::numeric AS unsent"
    " FROM sluice.chunk_run chunk LEFT JOIN sluice.task_run write ON write.run_id = chunk.run_id"
    "   AND write.chunk_id = chunk.id AND write.step_key = :write"
    " WHERE chunk.run_id = :run_id AND chunk.step_key = :dispatch"
).bindparams(bindparam("run_id", type_=PGUUID(as_uuid=True)))


def written(connection: Connection, run_id: UUID, dispatch: str, source: str, write: str) -> list[Written]:
    """The measures of `source`, a step of the chunks or `chunk` itself, by what `write` did with its
    records."""
    given = {"run_id": run_id, "write": write}
    if source == "chunk":
        rows = connection.execute(_OWN, {**given, "dispatch": dispatch})
    else:
        rows = connection.execute(_WRITTEN, {**given, "source": source})
    return [Written(**row._mapping) for row in rows]


_POSTED = text(
    "SELECT step_key, sum((counts->>'posted')::bigint) AS posted FROM sluice.task_run"
    " WHERE run_id = :run_id AND chunk_id IS NOT NULL AND counts ? 'posted' GROUP BY step_key"
).bindparams(bindparam("run_id", type_=PGUUID(as_uuid=True)))


def posted(connection: Connection, run_id: UUID) -> Mapping[str, int]:
    """How many records the writes of chunks count as posted, by step."""
    return {row.step_key: int(row.posted) for row in connection.execute(_POSTED, {"run_id": run_id})}
