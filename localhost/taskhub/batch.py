"""One journal batch: everything that changed since the last one, written by one statement.

Each part of the statement sees the database as it was before the batch, and all of it commits or none. The
parts touch different rows by construction: message ids and executions are never used twice, and a row that is
written whole is not also updated or removed. Only tables with changes take part: each of the others would
cost time, in this process and in the server, which a lone orchestration would feel.
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


# `OFFSET 0` keeps the planner from knowing the hub beforehand and reading all its instances: a statement is
# planned once, perhaps while the tables are still empty, and must leave no choice but the primary keys.
# History of what is replaced or removed is found through the row as it was: its execution is not known here.
_CHANGES = {
    "full": """
superseded AS (
    DELETE FROM taskhub.history h USING taskhub.instance i
    WHERE i.hub = $1 AND i.id = ANY ({0})
      AND h.hub = $1 AND h.execution = i.execution AND h.execution <> ALL ({1})
), written AS (
    INSERT INTO taskhub.instance AS i (hub, {instance_columns})
    SELECT $1, * FROM unnest({all})
    ON CONFLICT (hub, id) DO UPDATE SET
        (execution, status, live, created, completed, root, parent_id, parent_execution, parent_link, input,
         state, trace)
      = (excluded.execution, excluded.status, excluded.live, excluded.created, excluded.completed,
         excluded.root, excluded.parent_id, excluded.parent_execution, excluded.parent_link, excluded.input,
         excluded.state, excluded.trace)
)""",
    "progress": """
progressed AS (
    UPDATE taskhub.instance i
    SET status = n.status, live = n.live, completed = n.completed, state = n.state, trace = n.trace
    FROM (
        SELECT $1::integer AS hub, * FROM unnest({all}) AS p (id, status, live, completed, state, trace)
        OFFSET 0
    ) n
    WHERE i.hub = n.hub AND i.id = n.id
)""",
    "history": """
happened AS (
    INSERT INTO taskhub.history (hub, execution, sequence, events) SELECT $1, * FROM unnest({all})
)""",
    "messages": """
sent AS (
    INSERT INTO taskhub.message (hub, id, target, visible, event) SELECT $1, * FROM unnest({all})
)""",
    "entities": """
kept AS (
    INSERT INTO taskhub.entity (hub, id, state, modified, lock_section, lock_owner)
    SELECT $1, * FROM unnest({all})
    ON CONFLICT (hub, id) DO UPDATE SET
        (state, modified, lock_section, lock_owner)
      = (excluded.state, excluded.modified, excluded.lock_section, excluded.lock_owner)
)""",
    "consumed": """
consumed AS (
    DELETE FROM taskhub.message WHERE hub = $1 AND id = ANY ({0})
)""",
    "removed": """
forgotten AS (
    DELETE FROM taskhub.history h USING taskhub.instance i
    WHERE i.hub = $1 AND i.id = ANY ({0}) AND h.hub = $1 AND h.execution = i.execution
), removed AS (
    DELETE FROM taskhub.instance WHERE hub = $1 AND id = ANY ({0})
)""",
    "blank": """
blank AS (
    DELETE FROM taskhub.entity WHERE hub = $1 AND id = ANY ({0})
)""",
}


def statement(tables: Sequence[str]) -> str:
    """The statement for a batch with rows in these tables. Parameters: hub, epoch, one array per column."""
    changes, first = [], 3
    for table in tables:
        arrays = [f"${place}::{kind}[]" for place, kind in enumerate(TYPES[table].split(), first)]
        parts = {"all": ", ".join(arrays), "instance_columns": INSTANCE_COLUMNS}
        changes.append(_CHANGES[table].format(*arrays, **parts))
        first += len(arrays)
    return f"WITH {', '.join(changes)} SELECT taskhub.assert_owner($1, $2)"


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
    def tables(self) -> tuple[str, ...]:
        """The tables that have rows in it."""
        return tuple(table for table in TYPES if getattr(self, table))

    def arguments(self) -> list[Sequence[Any]]:
        """One array per column of those tables: what `statement` wants after hub and epoch."""
        arguments: list[Sequence[Any]] = []
        for table in self.tables:
            arguments.extend(zip(*getattr(self, table), strict=True))
        return arguments
