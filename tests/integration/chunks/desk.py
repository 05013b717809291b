"""A system with orders to fan out over, and a desk that takes them: a connector on the ERP's database."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from commands.connectors import save_connector
from store import chunks
from store.chunks import ChunkRow
from store.runs import RunRow
from tests.support.world import ADA, EXAMPLES, World
from workflows.states import TaskState

_SCHEMA = """
CREATE TABLE "order" (position bigint, number text, customer text, amount numeric(18,2), secret text);
CREATE TABLE desk (key text PRIMARY KEY, number text NOT NULL, amount numeric(18,2) NOT NULL
    CHECK (amount < 1000000));
"""
_COLUMNS = {"number": "text", "customer": "text", "amount": "decimal(18,2)", "secret": "text"}

STEPS = """
        - key: priced
          transform: {sql: "SELECT number, amount FROM chunk"}
          measures: {amount: sum(amount)}
        - key: posted
          push: {connector: desk, operation: post, records: priced, key: [number]}
"""


def definition(steps: str = STEPS, dispatch: str = "", over: str = "", after: str = "") -> str:
    """A workflow that posts every order as a chunk."""
    source = over or "{fetch: {connector: desk, operation: orders}}"
    return f"""
workflow: post-orders
steps:
  - key: each
    dispatch:
      over: {source}
      key: [number]
{dispatch}
      steps: {steps}
    sensitive: [secret]
    measures: {{ordered: sum(amount)}}
{after}
"""


def set_up(world: World, orders: Sequence[tuple[str | None, str]]) -> None:
    """Orders of these numbers and amounts, and the connector `desk`."""
    address = json.loads((EXAMPLES / "connectors" / "erp.json").read_text())
    parts = psycopg.conninfo.conninfo_to_dict(world.erp_url)
    with psycopg.connect(world.erp_url) as connection:
        connection.execute(_SCHEMA)
    add_orders(world, orders)
    settings: dict[str, Any] = {
        "dialect": "postgresql", "host": parts["host"], "port": int(str(parts["port"])),
        "database": parts["dbname"], "user": parts["user"],
        "operations": {
            "orders": {
                "fetch": 'SELECT number, customer, amount, secret FROM "order"', "columns": _COLUMNS,
                "order_by": ["number"],
            },
            "post": {
                "push": "desk", "columns": {"number": "text", "amount": "decimal(18,2)"}, "key_column": "key",
            },
        },
    }  # fmt: skip
    save_connector(world.deployment, "desk", "sql", settings, address["secrets"], ADA)


def add_orders(world: World, orders: Sequence[tuple[str | None, str]]) -> None:
    """More orders at the source."""
    with psycopg.connect(world.erp_url) as connection, connection.cursor() as cursor:
        rows = [(at, number, f"C{at}", amount, f"canary-{at}") for at, (number, amount) in enumerate(orders)]
        cursor.executemany('INSERT INTO "order" VALUES (%s, %s, %s, %s, %s)', rows)


def desk(world: World) -> list[tuple[str, Decimal]]:
    """What the desk has taken."""
    with psycopg.connect(world.erp_url) as connection:
        return connection.execute("SELECT number, amount FROM desk ORDER BY number").fetchall()


def states(world: World, run: RunRow, step: str = "each") -> dict[str, int]:
    """How many chunks are in which state."""
    with world.deployment.database.reading() as connection:
        return {str(state): count for state, count in chunks.count_chunks(connection, run.id, step).items()}


def failed(world: World, run_id: UUID, step: str = "each") -> list[ChunkRow]:
    """The chunks that have failed."""
    with world.deployment.database.reading() as connection:
        return chunks.failed_chunks(connection, run_id, step, 100)


__all__ = ["TaskState", "add_orders", "definition", "desk", "failed", "set_up", "states"]
