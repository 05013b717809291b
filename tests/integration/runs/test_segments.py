"""Several segments, gates and rejects: what crosses a boundary and what does not."""

import psycopg

from activities.contract import Next
from store.blobs import CONTEXT
from tests.support.world import SMALL_LOG, World, one_segment
from workflows.states import RunState, TaskState

CANARY = "Zebulon Canary-7731"

COPY = """
workflow: two-writes
inputs: {{file: {{type: text}}}}
steps:
  - key: log
    fetch:
      connector: worklog
      operation: records
      with:
        path: "${{{{ inputs.file }}}}"
        columns:
          case_id: text
          activity: text
          resource: text
          start_time: timestamp_text
    sensitive: [resource]
  - key: first
    transform:
      sql: |
        SELECT case_id, activity, resource AS worker, CAST(left(start_time, 10) AS DATE) AS work_date,
               CAST(60 AS BIGINT) AS worked_seconds, CAST(1.25 AS DECIMAL(18,2)) AS amount
        FROM log ORDER BY case_id, start_time
    sensitive: [worker]
  - key: allowed
    govern:
      facts: SELECT count(*) AS total, sum(amount) AS rejected FROM first
      rules: [{{deny: total > 1000, because: Too many.}}]
  - key: post_first
    push: {{connector: erp, operation: job_ledger, records: first, key: {key}}}
    rejects: {rejects}
  - key: more
    logic_gate: {{when: "{when}", otherwise: end}}
  - key: second
    transform:
      sql: |
        SELECT case_id || '-b' AS case_id, activity, worker, work_date, worked_seconds, amount
        FROM first ORDER BY case_id, work_date
    sensitive: [worker]
  - key: post_second
    push:
      connector: erp
      operation: job_ledger
      records: second
      key: [case_id, activity, worker, work_date]
    rejects: dead_letter
"""


def definition(
    key: str = "[case_id, activity, worker, work_date]", rejects: str = "dead_letter", when: str = "true"
) -> str:
    """The two-write workflow with variations."""
    return COPY.format(key=key, rejects=rejects, when=when)


LOG = tuple((case, activity, CANARY, start, end) for case, activity, _, start, end in SMALL_LOG)


def everything_stored(world: World) -> str:
    """All rows of all our tables as text."""
    names = world.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'sluice'")
    texts = []
    with psycopg.connect(world.owner_url) as connection:
        for (name,) in names:
            rows = connection.execute(f'SELECT t::text FROM sluice."{name}" t').fetchall()
            texts += [text for (text,) in rows]
    return "\n".join(texts)


def test_records_cross_the_boundary_sealed_and_are_destroyed(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    outcome = one_segment(world.services, run.id)
    assert (outcome.next, outcome.segment) == (Next.CONTINUE, 1)
    sealed = world.services.blobs.read(CONTEXT, f"{run.id}/0000/segment-0000")
    assert CANARY.encode() not in sealed
    done = world.finish(run)
    assert done.state is RunState.SUCCEEDED, done.failure
    assert len(world.ledger()) == 6
    assert world.services.blobs.delete_prefix(CONTEXT, f"{run.id}/") == 0
    assert world.sql("SELECT context_key FROM sluice.workflow_run") == [(None,)]


def test_no_sensitive_value_is_stored(world: World) -> None:
    world.publish(definition())
    world.finish(world.start("two-writes", file=world.upload(LOG)))
    stored = everything_stored(world)
    assert "two-writes" in stored
    assert CANARY not in stored
    assert CANARY.encode().hex() not in stored


def test_records_with_the_same_key_are_not_posted_twice(world: World) -> None:
    world.publish(definition(key="[activity]"))
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    counts = world.tasks(run.id)["post_first"].counts or {}
    assert (counts["posted"], counts["rejected"]) == (2, 2)
    assert run.totals is not None
    assert all(line["proved"] for line in run.totals)


def test_rejects_fail_the_step_by_default(world: World) -> None:
    world.publish(definition(key="[activity]", rejects="fail"))
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert (run.failure["step"], run.failure["code"]) == ("post_first", "invalid_data")
    assert world.tasks(run.id)["post_second"].state is TaskState.PENDING


def test_a_closed_gate_skips_the_rest(world: World) -> None:
    world.publish(definition(when="log.records > 100 || steps.first.records > 100"))
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    states = {key: task.state for key, task in world.tasks(run.id).items()}
    assert run.state is RunState.SUCCEEDED, run.failure
    assert states["post_first"] is TaskState.SUCCEEDED
    assert {states[key] for key in ("second", "post_second")} == {TaskState.SKIPPED}
