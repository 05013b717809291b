"""One journal batch: everything that changed since the last one, written by one statement.

Each part of the statement sees the database as it was before the batch, and all of it commits or none. The
parts touch different rows by construction: message ids and executions are never used twice, and a row that is
written whole is not also updated or removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from localhost.taskhub.rows import INSTANCE_COLUMNS

TYPES = {
    "full": "text bigint smallint boolean timestamptz timestamptz text text bigint bytea bytea bytea bytea",
    "progress": "text smallint boolean timestamptz bytea bytea",
    "history": "bigint integer bytea",
    "messages": "bigint text timestamptz bytea",
    "entities": "text bytea timestamptz text text",
    "consumed": "bigint",
    "removed": "text",
    "blank": "text",
}


def _unnest(table: str) -> str:
    arrays = ", ".join(f"${first}::{kind}[]" for first, kind in _parameters(table))
    return f"unnest({arrays})"


def _parameters(table: str) -> list[tuple[int, str]]:
    first = 3  # $1 is the hub, $2 the epoch
    for name, kinds in TYPES.items():
        if name == table:
            return [(first + place, kind) for place, kind in enumerate(kinds.split())]
        first += len(kinds.split())
    raise KeyError(table)


def _array(table: str, column: int = 0) -> str:
    place, kind = _parameters(table)[column]
    return f"${place}::{kind}[]"


# The statement is planned once, while the tables may still be empty, so it must leave no choice but the
# primary keys: `OFFSET 0` keeps the planner from knowing the hub beforehand and reading all its instances.
# History of what is replaced or removed is found through the row as it was: its execution is not known here.
COMMIT = f"""
WITH superseded AS (
    DELETE FROM taskhub.history h USING taskhub.instance i
    WHERE i.hub = $1 AND i.id = ANY ({_array("full")} || {_array("removed")})
      AND h.hub = $1 AND h.execution = i.execution AND h.execution <> ALL ({_array("full", 1)})
), removed AS (
    DELETE FROM taskhub.instance WHERE hub = $1 AND id = ANY ({_array("removed")})
), written AS (
    INSERT INTO taskhub.instance AS i (hub, {INSTANCE_COLUMNS})
    SELECT $1, * FROM {_unnest("full")}
    ON CONFLICT (hub, id) DO UPDATE SET
        (execution, status, live, created, completed, root, parent_id, parent_execution, parent_link, input,
         state, trace)
      = (excluded.execution, excluded.status, excluded.live, excluded.created, excluded.completed,
         excluded.root, excluded.parent_id, excluded.parent_execution, excluded.parent_link, excluded.input,
         excluded.state, excluded.trace)
), progressed AS (
    UPDATE taskhub.instance i
    SET status = n.status, live = n.live, completed = n.completed, state = n.state, trace = n.trace
    FROM (
        SELECT $1 AS hub, * FROM {_unnest("progress")} AS p (id, status, live, completed, state, trace)
        OFFSET 0
    ) n
    WHERE i.hub = n.hub AND i.id = n.id
), happened AS (
    INSERT INTO taskhub.history (hub, execution, sequence, events) SELECT $1, * FROM {_unnest("history")}
), sent AS (
    INSERT INTO taskhub.message (hub, id, target, visible, event) SELECT $1, * FROM {_unnest("messages")}
), consumed AS (
    DELETE FROM taskhub.message WHERE hub = $1 AND id = ANY ({_array("consumed")})
), entities AS (
    INSERT INTO taskhub.entity (hub, id, state, modified, lock_section, lock_owner)
    SELECT $1, * FROM {_unnest("entities")}
    ON CONFLICT (hub, id) DO UPDATE SET
        (state, modified, lock_section, lock_owner)
      = (excluded.state, excluded.modified, excluded.lock_section, excluded.lock_owner)
), blank AS (
    DELETE FROM taskhub.entity WHERE hub = $1 AND id = ANY ({_array("blank")})
)
SELECT taskhub.assert_owner($1, $2)
"""  # noqa: S608 - made of the constants above

type Rows = list[tuple[Any, ...]]


@dataclass
class Batch:
    """Rows by table; the order of values in a row is that of `TYPES`."""

    number: int
    full: Rows = field(default_factory=list)
    progress: Rows = field(default_factory=list)
    history: Rows = field(default_factory=list)
    messages: Rows = field(default_factory=list)
    entities: Rows = field(default_factory=list)
    consumed: Rows = field(default_factory=list)
    removed: Rows = field(default_factory=list)
    blank: Rows = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(getattr(self, table) for table in TYPES)

    def arguments(self) -> list[Sequence[Any]]:
        """One array per column, in the order of the statement's parameters after hub and epoch."""
        arguments: list[Sequence[Any]] = []
        for table, kinds in TYPES.items():
            rows: Rows = getattr(self, table)
            arguments.extend(zip(*rows, strict=True) if rows else ((),) * len(kinds.split()))
        return arguments
