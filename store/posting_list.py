"""Postings as people see and resolve them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select

from kernel.errors import NotFound
from store.tables import posting, workflow_run
from workflows.states import PostingState


@dataclass(frozen=True)
class PostingDetail:
    """One record's way into a system. `shown` are its key values, sensitive ones taken out."""

    id: UUID
    idempotency_key: str
    connector: str
    operation: str
    state: PostingState
    run_id: UUID
    chunk_id: UUID | None
    workflow: str
    step_key: str
    shown: Mapping[str, Any] | None
    external_id: str | None
    reason: str | None
    sent_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class PostingFilter:
    """What a list may be narrowed to. `before` is the last id of the part before."""

    run_id: UUID | None = None
    step_key: str | None = None
    state: PostingState | None = None
    connector: str | None = None
    chunk_id: UUID | None = None
    before: UUID | None = None


def _postings() -> Select[Any]:
    columns = [posting.c[part.name] for part in fields(PostingDetail) if part.name != "workflow"]
    joined = posting.join(workflow_run, posting.c.run_id == workflow_run.c.id)
    return select(*columns, workflow_run.c.workflow).select_from(joined)


def _posting(row: Any) -> PostingDetail:
    return PostingDetail(**{**row._mapping, "state": PostingState(row.state)})


def list_postings(connection: Connection, wanted: PostingFilter, limit: int) -> list[PostingDetail]:
    """Postings that match, newest first."""
    parts = {
        posting.c.run_id: wanted.run_id,
        posting.c.step_key: wanted.step_key,
        posting.c.state: wanted.state,
        posting.c.connector: wanted.connector,
        posting.c.chunk_id: wanted.chunk_id,
    }
    query = _postings().where(*(column == value for column, value in parts.items() if value is not None))
    if wanted.before:
        query = query.where(posting.c.id < wanted.before)
    return [_posting(row) for row in connection.execute(query.order_by(posting.c.id.desc()).limit(limit))]


def get_posting(connection: Connection, posting_id: UUID, *, lock: bool = False) -> PostingDetail:
    """One posting, locked if wanted; `NotFound` when there is none."""
    query = _postings().where(posting.c.id == posting_id)
    row = connection.execute(query.with_for_update(of=posting) if lock else query).first()
    if row is None:
        raise NotFound(f"There is no posting {posting_id}.")
    return _posting(row)


def resolve(
    connection: Connection, posting_id: UUID, state: PostingState, external_id: str | None, reason: str,
    now: datetime,
) -> bool:  # fmt: skip
    """Compare-and-set a posting in doubt into what a person has found out."""
    doubtful = (posting.c.id == posting_id) & (posting.c.state == PostingState.IN_DOUBT)
    values = {"state": state, "external_id": external_id, "reason": reason, "updated_at": now}
    return connection.execute(posting.update().where(doubtful).values(values)).rowcount == 1
