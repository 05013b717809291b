"""The posting ledger: one row per record and system, unique by idempotency key, moved in whole batches.

Every statement takes arrays, so a batch of a thousand records costs one round trip a state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import Text

from kernel.ids import new_id
from store.driver import Cursor, execute
from store.tables import posting
from workflows.states import PostingState

type Key = str


@dataclass(frozen=True)
class Claim:
    """Who claims postings: a run's step, and one token per execution of the activity. `chunks` says which
    records are of which chunk, for steps of chunks."""

    run_id: UUID
    step_key: str
    token: UUID
    connector: str
    environment: str
    operation: str
    chunks: Mapping[Key, UUID] = field(default_factory=dict)

    def owns(self, row: "PostingRow") -> bool:
        """Whether the row is of this step of the run, and of the chunk that its record is of."""
        theirs = (row.run_id, row.step_key, row.chunk_id)
        return theirs == (self.run_id, self.step_key, self.chunks.get(row.idempotency_key))


@dataclass(frozen=True)
class PostingRow:
    """What the posting loop needs to know of one posting. `sent_at` is when a call with it last began."""

    idempotency_key: Key
    digest: str
    state: PostingState
    run_id: UUID
    chunk_id: UUID | None
    step_key: str
    claim: UUID
    reason: str | None
    sent_at: datetime | None


@dataclass(frozen=True)
class Intent:
    """One record that is to be posted. `shown` are its key values as people may see them, as JSON."""

    key: Key
    digest: str
    shown: str


# What others left INTENDED, or was refused, changes hands; what was sent or is confirmed does not. Rows are
# taken in the order of keys: see `lock_postings`.
_CLAIM = (
    "INSERT INTO sluice.posting (id, idempotency_key, connector, environment, operation, digest, state,"
    " run_id, chunk_id, step_key, claim, shown, created_at, updated_at)"
    " SELECT id, key, %(connector)s, %(environment)s, %(operation)s, digest, 'INTENDED', %(run_id)s,"
    " chunk_id, %(step_key)s, %(claim)s, shown::jsonb, %(now)s, %(now)s"
    " FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(digests)s::text[], %(shown)s::text[],"
    " %(chunks)s::uuid[]) AS given(id, key, digest, shown, chunk_id)"
    " ORDER BY key"
    " ON CONFLICT (idempotency_key) DO UPDATE SET state = 'INTENDED', digest = excluded.digest,"
    " run_id = excluded.run_id, chunk_id = excluded.chunk_id, step_key = excluded.step_key,"
    " claim = excluded.claim, shown = excluded.shown, reason = NULL, sent_at = NULL,"
    " updated_at = excluded.updated_at"
    " WHERE posting.state = 'INTENDED' OR posting.state = 'REJECTED'"
    " AND (posting.run_id, posting.chunk_id, posting.step_key, posting.digest)"
    " IS DISTINCT FROM (excluded.run_id, excluded.chunk_id, excluded.step_key, excluded.digest)"
    " RETURNING idempotency_key"
)


def claim_intended(
    connection: Connection, claim: Claim, intents: Sequence[Intent], now: datetime
) -> set[Key]:
    """Make these INTENDED and ours; returns which are. The others were sent, are confirmed, or were refused
    with the same values in this very step."""
    return _keys(intend(connection, claim, intents, now))


def intend(connection: Connection, claim: Claim, intents: Sequence[Intent], now: datetime) -> Cursor:
    """The same, without waiting for which are."""
    return execute(
        connection,
        _CLAIM,
        {
            "ids": [new_id() for _ in intents],
            "keys": [intent.key for intent in intents],
            "digests": [intent.digest for intent in intents],
            "shown": [intent.shown for intent in intents],
            "chunks": [claim.chunks.get(intent.key) for intent in intents],
            "connector": claim.connector,
            "environment": claim.environment,
            "operation": claim.operation,
            "run_id": claim.run_id,
            "step_key": claim.step_key,
            "claim": claim.token,
            "now": now,
        },
    )


def _keys(moved: Cursor) -> set[Key]:
    return {row["idempotency_key"] for row in moved}


_COLUMNS = ", ".join(part.name for part in fields(PostingRow))
_SELECT = f"SELECT {_COLUMNS} FROM sluice.posting WHERE "  # noqa: S608 - our columns
_OF_KEYS = _SELECT + "idempotency_key = ANY(%(keys)s::text[])"


def _rows(cursor: Cursor) -> dict[Key, PostingRow]:
    return {
        row["idempotency_key"]: PostingRow(**{**row, "state": PostingState(row["state"])}) for row in cursor
    }


def _of_keys(keys: Sequence[Key]) -> ColumnElement[bool]:
    return posting.c.idempotency_key == func.any(bindparam("keys", list(keys), type_=ARRAY(Text)))


_OF_STEP = _SELECT + "run_id = %(run_id)s AND chunk_id IS NULL AND step_key = %(step_key)s"
_OF_CHUNK = _SELECT + "chunk_id = %(chunk_id)s AND step_key = %(step_key)s"


def of_step(
    connection: Connection, run_id: UUID, step_key: str, chunk_id: UUID | None = None
) -> dict[Key, PostingRow]:
    """All that the step of the run, or of its chunk, has claimed so far."""
    given = {"run_id": run_id, "chunk_id": chunk_id, "step_key": step_key}
    return _rows(execute(connection, _OF_STEP if chunk_id is None else _OF_CHUNK, given))


def of_keys(connection: Connection, keys: Sequence[Key]) -> dict[Key, PostingRow]:
    """The rows of these keys as they are now."""
    return _rows(execute(connection, _OF_KEYS, {"keys": list(keys)}))


_LOCK = _OF_KEYS + " ORDER BY idempotency_key FOR UPDATE"


def lock_postings(connection: Connection, keys: Sequence[Key]) -> dict[Key, PostingRow]:
    """The rows of these keys, locked. Always in the order of keys: two executions that work on the same
    records would otherwise wait for each other."""
    return _rows(await_postings(connection, keys))


def await_postings(connection: Connection, keys: Sequence[Key]) -> Cursor:
    """Lock the rows of these keys, without a look at them."""
    return execute(connection, _LOCK, {"keys": list(keys)})


def begin_no_later(connection: Connection, keys: Sequence[Key], now: datetime) -> None:
    """Calls that began after `now`, because the clock has run back since, count as begun now: by their own
    time they would not be old enough for hours."""
    later = _of_keys(keys) & (posting.c.sent_at > now)
    connection.execute(posting.update().where(later).values(sent_at=now))


_TAKE_OVER = (
    "UPDATE sluice.posting SET claim = %(claim)s, run_id = %(run_id)s, chunk_id = given.chunk_id,"
    " step_key = %(step_key)s, updated_at = %(now)s,"
    " state = CASE posting.state WHEN 'REJECTED' THEN 'INTENDED' ELSE posting.state END,"
    " digest = given.digest, reason = NULL"
    " FROM unnest(%(keys)s::text[], %(digests)s::text[], %(states)s::text[], %(claims)s::uuid[],"
    " %(chunks)s::uuid[]) AS given(key, digest, state, claim, chunk_id)"
    " WHERE idempotency_key = given.key AND posting.state = given.state AND posting.claim = given.claim"
    " RETURNING idempotency_key"
)


def take_over(
    connection: Connection,
    claim: Claim,
    rows: Sequence[PostingRow],
    digests: Mapping[Key, str],
    now: datetime,
) -> set[Key]:
    """Claim rows that another execution left behind, if they are still as they were read."""
    if not rows:
        return set()
    taken = execute(
        connection,
        _TAKE_OVER,
        {
            "claim": claim.token,
            "run_id": claim.run_id,
            "step_key": claim.step_key,
            "now": now,
            "keys": [row.idempotency_key for row in rows],
            "digests": [digests[row.idempotency_key] for row in rows],
            "states": [row.state.value for row in rows],
            "claims": [row.claim for row in rows],
            "chunks": [claim.chunks.get(row.idempotency_key) for row in rows],
        },
    )
    return _keys(taken)


_MOVE = (
    "UPDATE sluice.posting SET state = %(state)s, updated_at = %(now)s, external_id = given.external_id,"
    " reason = given.reason, sent_at = CASE %(state)s WHEN 'SENT' THEN %(now)s::timestamptz"
    " WHEN 'INTENDED' THEN NULL ELSE sent_at END"
    " FROM unnest(%(keys)s::text[], %(claims)s::uuid[], %(external_ids)s::text[], %(reasons)s::text[])"
    " AS given(key, claim, external_id, reason)"
    " WHERE idempotency_key = ANY(%(keys)s::text[]) AND idempotency_key = given.key"
    " AND posting.claim = given.claim AND posting.state = ANY(%(before)s)"
    " RETURNING idempotency_key"
)


@dataclass(frozen=True)
class Outcome:
    """What to write down about one key, as long as it is still claimed by `claim`."""

    key: Key
    claim: UUID
    external_id: str | None = None
    reason: str | None = None


def move_postings(
    connection: Connection, before: Sequence[PostingState], state: PostingState,
    outcomes: Sequence[Outcome], now: datetime,
) -> set[Key]:  # fmt: skip
    """Compare-and-set claimed postings from `before` into `state`; returns the keys that moved."""
    return _keys(move(connection, before, state, outcomes, now)) if outcomes else set()


def move(
    connection: Connection, before: Sequence[PostingState], state: PostingState,
    outcomes: Sequence[Outcome], now: datetime,
) -> Cursor:  # fmt: skip
    """The same, without waiting for which have moved."""
    return execute(
        connection,
        _MOVE,
        {
            "state": state.value,
            "now": now,
            "before": [one.value for one in before],
            "keys": [outcome.key for outcome in outcomes],
            "claims": [outcome.claim for outcome in outcomes],
            "external_ids": [outcome.external_id for outcome in outcomes],
            "reasons": [outcome.reason for outcome in outcomes],
        },
    )


_CONFIRMED = (
    "SELECT step_key, count(*) AS count FROM sluice.posting"
    " WHERE run_id = %(run_id)s AND state = 'CONFIRMED' GROUP BY step_key"
)


def confirmed_by_step(connection: Connection, run_id: UUID) -> dict[str, int]:
    """How many records each of the run's steps has posted, those of its chunks included."""
    return {row["step_key"]: row["count"] for row in execute(connection, _CONFIRMED, {"run_id": run_id})}


# Locked in the order of keys; see `lock_postings`.
_DOUBT = (
    "WITH left_behind AS MATERIALIZED (SELECT id FROM sluice.posting"
    " WHERE run_id = %(run_id)s AND state = 'SENT' ORDER BY idempotency_key FOR UPDATE)"
    " UPDATE sluice.posting SET state = 'IN_DOUBT', reason = %(reason)s, updated_at = %(now)s"
    " WHERE id IN (SELECT id FROM left_behind) AND state = 'SENT' RETURNING id"
)


def doubt_sent(connection: Connection, run_id: UUID, reason: str, now: datetime) -> int:
    """SENT becomes IN_DOUBT for all that a run leaves behind; returns how many. An answer that comes after
    all is still taken from the execution that sent them."""
    return len(execute(connection, _DOUBT, {"run_id": run_id, "reason": reason, "now": now}).fetchall())


def release_rejected(connection: Connection, run_id: UUID, step_keys: Sequence[str], now: datetime) -> int:
    """REJECTED becomes INTENDED for all that these steps of a run were refused, so that its retry sends it
    again; returns how many. What a person has said is not in the system is among them."""
    mine = (posting.c.run_id == run_id) & posting.c.step_key.in_(step_keys)
    refused = mine & (posting.c.state == PostingState.REJECTED)
    values = {"state": PostingState.INTENDED, "reason": None, "sent_at": None, "updated_at": now}
    return _update_in_order(connection, refused, values)


def _update_in_order(connection: Connection, chosen: ColumnElement[bool], values: Mapping[str, Any]) -> int:
    """Change the rows after locking them in the order of keys; see `lock_postings`."""
    locked = select(posting.c.id).where(chosen).order_by(posting.c.idempotency_key).with_for_update()
    ids = list(connection.execute(locked).scalars())
    mine = posting.c.id == func.any(bindparam("ids", ids, type_=ARRAY(PGUUID(as_uuid=True))))
    return connection.execute(posting.update().where(mine).values(**values)).rowcount if ids else 0
