"""Chunks as people look for them: by state, and by what they know of the business key."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, cast, exists, func, select

from kernel.errors import NotFound
from store.chunks import CHUNK_COLUMNS, ChunkRow, chunk_of
from store.tables import chunk_run
from workflows.states import TaskState

_chunk = chunk_run.c


@dataclass(frozen=True)
class ChunkFilter:
    """What a list may be narrowed to. Every one of `words` must be part of a value of the business key, in
    any case; what is redacted there cannot be found. `after` is the number of the last chunk before."""

    state: TaskState | None = None
    words: Sequence[str] = ()
    after: int = -1


def list_chunks(
    connection: Connection, run_id: UUID, step_key: str, wanted: ChunkFilter, limit: int
) -> list[ChunkRow]:
    """Chunks of a dispatch that match, in their order."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & (_chunk.number > wanted.after)
    query = select(*CHUNK_COLUMNS).where(mine, *(_has(word) for word in wanted.words))
    if wanted.state:
        query = query.where(_chunk.state == wanted.state)
    return [chunk_of(row) for row in connection.execute(query.order_by(_chunk.number).limit(limit))]


def get_chunk(connection: Connection, chunk_id: UUID) -> ChunkRow:
    """One chunk; `NotFound` when there is none."""
    row = connection.execute(select(*CHUNK_COLUMNS).where(_chunk.id == chunk_id)).first()
    if row is None:
        raise NotFound(f"There is no chunk {chunk_id}.")
    return chunk_of(row)


def _has(word: str) -> ColumnElement[bool]:
    """The whole key as text is looked at first: that rules out nearly all chunks and costs a tenth."""
    written = json.dumps(word, ensure_ascii=False)[1:-1]
    values = func.jsonb_each_text(_chunk.shown).table_valued("key", "value")
    held = exists().select_from(values).where(values.c.value.icontains(word, autoescape=True))
    return cast(_chunk.shown, Text).icontains(written, autoescape=True) & held
