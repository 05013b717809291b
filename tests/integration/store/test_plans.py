"""Plans that must not depend on what a session did before."""

from collections.abc import Mapping
from typing import Any

import psycopg

from store import chunk_tasks
from tests.support.operators import log, plain
from tests.support.world import World


def test_no_recorder_of_transitions_compares_every_changed_row_with_every_other(world: World) -> None:
    """PostgreSQL plans their join for as many rows as the session's first statement changed, often none. With
    a nested loop 6,000 changes then took 7.8 seconds, without 0.1."""
    recorders = world.sql("SELECT proname, proconfig FROM pg_proc WHERE proname ~ '^record_.*_transition$'")
    assert {name for name, _ in recorders} == {
        "record_workflow_run_transition",
        "record_task_run_transition",
        "record_posting_transition",
        "record_approval_transition",
        "record_chunk_run_transition",
        "record_dead_letter_transition",
        "record_notification_transition",
    }
    assert [name for name, settings in recorders if "enable_nestloop=off" not in settings] == []


_MANY = """
WITH made AS (
    INSERT INTO sluice.chunk_run (id, run_id, step_key, number, key_digest, shown, state, execution, page)
    SELECT gen_random_uuid(), %(run)s, 'each', n, n::text, '{}', 'RUNNING', 0, n / 50
    FROM generate_series(1, 3000) n RETURNING id, number
)
INSERT INTO sluice.task_run (id, run_id, chunk_id, step_key, position, verb, state)
SELECT gen_random_uuid(), %(run)s, id, 'post', 0, 'push', 'RUNNING' FROM made RETURNING chunk_id
"""


def rows_read(plan: Mapping[str, Any]) -> int:
    """The most rows that any node of a plan has read or thrown away."""
    thrown = sum(count for name, count in plan.items() if name.startswith("Rows Removed by"))
    own = (plan["Actual Rows"] + thrown) * plan["Actual Loops"]
    return max([int(own), *(rows_read(part) for part in plan.get("Plans", ()))])


def test_chunks_that_end_are_looked_up_however_many_the_run_has(world: World) -> None:
    """The server plans the statement once, when it knows nothing of the table yet, and keeps the plan."""
    world.publish(plain())
    run = world.start("plain", file=world.upload(log(1)))
    texts = ("states", "counts", "measures", "failures", "digests", "failed")
    with psycopg.connect(world.owner_url) as connection:
        chunks = [row[0] for row in connection.execute(_MANY, {"run": run.id}).fetchall()][:20]
        given = {name: [None] * len(chunks) for name in texts} | {"states": ["SUCCEEDED"] * len(chunks)}
        known = {**given, "run_id": run.id, "chunks": chunks, "step_key": "post", "now": run.created_at}
        connection.execute("SET plan_cache_mode = force_generic_plan")
        explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {chunk_tasks._END}".encode(), known)
        plan = explained.fetchall()[0][0][0]["Plan"]
    assert rows_read(plan) <= len(chunks) ** 2, "compared with each other at most, not with the whole run"
