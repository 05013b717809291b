"""The posting ledger: one row per record and system, unique by idempotency key, moved in whole batches.

Every statement takes arrays, so a batch of a thousand records costs one round trip a state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import Text

from kernel.ids import new_id
from store.tables import posting
from workflows.states import PostingState

type Key = str


@dataclass(frozen=True)
class Claim:
    """Who claims postings: a run's step, and one token per execution of the activity."""

    run_id: UUID
    step_key: str
    token: UUID
    connector: str
    environment: str
    operation: str


@dataclass(frozen=True)
class PostingRow:
    """What the posting loop needs to know of one posting."""

    idempotency_key: Key
    digest: str
    state: PostingState
    run_id: UUID
    step_key: str
    claim: UUID
    reason: str | None


_INSERT = text(
    "INSERT INTO sluice.posting (id, idempotency_key, connector, environment, operation, digest, state,"
    " run_id, step_key, claim, created_at, updated_at)"
    " SELECT id, key, :connector, :environment, :operation, digest, 'INTENDED', :run_id, :step_key, :claim,"
    " :now, :now FROM unnest(:ids, :keys, :digests) AS given(id, key, digest)"
    " ON CONFLICT (idempotency_key) DO NOTHING"
).bindparams(
    bindparam("ids", type_=ARRAY(PGUUID(as_uuid=True))),
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("digests", type_=ARRAY(Text)),
)


def claim_new(connection: Connection, claim: Claim, digests: Mapping[Key, str], now: datetime) -> None:
    """Write INTENDED rows for the keys that no run has posted yet; others stay as they are."""
    connection.execute(
        _INSERT,
        {
            "ids": [new_id() for _ in digests],
            "keys": list(digests),
            "digests": list(digests.values()),
            "connector": claim.connector,
            "environment": claim.environment,
            "operation": claim.operation,
            "run_id": claim.run_id,
            "step_key": claim.step_key,
            "claim": claim.token,
            "now": now,
        },
    )


def lock_postings(connection: Connection, keys: Sequence[Key]) -> dict[Key, PostingRow]:
    """The rows of these keys, locked. Always in the order of keys: two executions that work on the same
    records would otherwise wait for each other."""
    names = ("idempotency_key", "digest", "state", "run_id", "step_key", "claim", "reason")
    columns = [posting.c[name] for name in names]
    wanted = posting.c.idempotency_key == func.any(bindparam("keys", list(keys), type_=ARRAY(Text)))
    rows = connection.execute(
        select(*columns).where(wanted).order_by(posting.c.idempotency_key).with_for_update()
    )
    return {
        row.idempotency_key: PostingRow(**{**row._mapping, "state": PostingState(row.state)}) for row in rows
    }


_TAKE_OVER = text(
    "UPDATE sluice.posting SET claim = :claim, run_id = :run_id, step_key = :step_key, updated_at = :now,"
    " state = CASE posting.state WHEN 'REJECTED' THEN 'INTENDED' ELSE posting.state END,"
    " digest = given.digest, reason = NULL"
    " FROM unnest(:keys, :digests, :states, :claims) AS given(key, digest, state, claim)"
    " WHERE idempotency_key = given.key AND posting.state = given.state AND posting.claim = given.claim"
    " RETURNING idempotency_key"
).bindparams(
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("digests", type_=ARRAY(Text)),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("claims", type_=ARRAY(PGUUID(as_uuid=True))),
)


def take_over(
    connection: Connection,
    claim: Claim,
    rows: Sequence[PostingRow],
    digests: Mapping[Key, str],
    now: datetime,
) -> set[Key]:
    """Claim rows that another execution left behind, if they are still as they were read."""
    taken = connection.execute(
        _TAKE_OVER,
        {
            "claim": claim.token,
            "run_id": claim.run_id,
            "step_key": claim.step_key,
            "now": now,
            "keys": [row.idempotency_key for row in rows],
            "digests": [digests[row.idempotency_key] for row in rows],
            "states": [row.state for row in rows],
            "claims": [row.claim for row in rows],
        },
    )
    return set(taken.scalars())


_MOVE = text(
    "UPDATE sluice.posting SET state = :state, updated_at = :now, external_id = given.external_id,"
    " reason = given.reason FROM unnest(:keys, :external_ids, :reasons) AS given(key, external_id, reason)"
    " WHERE idempotency_key = given.key AND claim = :claim AND posting.state = ANY(:before)"
    " RETURNING idempotency_key"
).bindparams(
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("external_ids", type_=ARRAY(Text)),
    bindparam("reasons", type_=ARRAY(Text)),
    bindparam("before", type_=ARRAY(Text)),
)


@dataclass(frozen=True)
class Outcome:
    """What to write down about one key."""

    key: Key
    external_id: str | None = None
    reason: str | None = None


def move_postings(
    connection: Connection, token: UUID, before: Sequence[PostingState], state: PostingState,
    outcomes: Sequence[Outcome], now: datetime,
) -> set[Key]:  # fmt: skip
    """Compare-and-set claimed postings from `before` into `state`; returns the keys that moved."""
    moved = connection.execute(
        _MOVE,
        {
            "state": state,
            "now": now,
            "claim": token,
            "before": list(before),
            "keys": [outcome.key for outcome in outcomes],
            "external_ids": [outcome.external_id for outcome in outcomes],
            "reasons": [outcome.reason for outcome in outcomes],
        },
    )
    return set(moved.scalars())


def confirmed_by_step(connection: Connection, run_id: UUID) -> dict[str, int]:
    """How many records each of the run's steps has posted."""
    mine = (posting.c.run_id == run_id) & (posting.c.state == PostingState.CONFIRMED)
    query = select(posting.c.step_key, func.count()).where(mine).group_by(posting.c.step_key)
    return {step_key: count for step_key, count in connection.execute(query)}  # noqa: C416 - typed rows


def doubt_sent(connection: Connection, run_id: UUID, reason: str, now: datetime) -> int:
    """SENT becomes IN_DOUBT for all that a run leaves behind; returns how many. An answer that comes after
    all is still taken from the execution that sent them."""
    left = (posting.c.run_id == run_id) & (posting.c.state == PostingState.SENT)
    values = {"state": PostingState.IN_DOUBT, "reason": reason, "updated_at": now}
    return connection.execute(posting.update().where(left).values(values)).rowcount
