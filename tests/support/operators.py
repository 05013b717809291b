"""Operators at work on a world: runs of a plain workflow, actions, forecasts, and what came of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from activities.services import Services
from adapters.contract import Idempotency, Operation
from commands.deployment import Deployment
from commands.forecasting import forecast
from commands.foreseen import Counts, Forecast
from commands.operating import Asked, Operated, operate
from kernel.people import Person, Role
from store.runs import RunRow
from tests.support.world import Unstarted, World, drive
from workflows.actions import Action

OLIVE = Person("local:olive", "Olive Operator", "olive@example.com", frozenset({Role.OPERATOR}))
OPERATOR = OLIVE.id
PLAIN = """
workflow: plain
inputs: {file: {type: text}}
%s
steps:
  - key: log
    fetch:
      connector: worklog
      operation: records
      with:
        path: "${{ inputs.file }}"
        columns: {case_id: text, activity: text, resource: text, start_time: timestamp_text}
  - key: lines
    transform:
      sql: |
        SELECT case_id, activity, resource AS worker, CAST(left(start_time, 10) AS DATE) AS work_date,
               CAST(60 AS BIGINT) AS worked_seconds, CAST(1.25 AS DECIMAL(18,2)) AS amount
        FROM log ORDER BY case_id, start_time
  - key: any
    logic_gate: {when: lines.records > 0, otherwise: end}
  - key: post
    push: {connector: erp, operation: job_ledger, records: lines, key: [case_id, activity, work_date, worker]}
    rejects: %s
"""


def plain(rejects: str = "fail", more: str = "") -> str:
    """A workflow that posts the lines of a work log."""
    return PLAIN % (more, rejects)


def log(count: int, first: int = 0) -> list[tuple[str, ...]]:
    """So many lines, all different."""
    day = "2024-03-01T{:02}:00:00Z"
    return [
        (f"{first + number:04}", "Pay Invoice", "Ann Ace", day.format(8), day.format(9))
        for number in range(count)
    ]


def begun(world: World, count: int, **options: Any) -> RunRow:
    """A run of the plain workflow over so many lines that no other has; nothing executes it yet."""
    world.publish(plain(**options))
    ((earlier,),) = world.sql("SELECT count(*) FROM sluice.workflow_run")
    return world.start("plain", file=world.upload(log(count, first=100 * earlier)))


def declaring(deployment: Deployment, idempotency: Idempotency) -> Deployment:
    """The deployment with operations that are as idempotent as a test says."""

    def describe(
        key: str, system: str, settings: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> Mapping[str, Operation]:
        real: Callable[..., Mapping[str, Any]] = deployment.describe
        found = real(key, system, settings, secrets)
        return {name: replace(operation, idempotency=idempotency) for name, operation in found.items()}

    return replace(deployment, describe=describe)


def act(
    world: World, run: RunRow | UUID, action: Action, *,
    key: str | None = None, client: Unstarted | None = None, person: Person = OLIVE, reason: str = "because",
) -> Operated:  # fmt: skip
    """Do something with a run."""
    run_id = run if isinstance(run, UUID) else run.id
    return operate(world.deployment, Asked(action, run_id, reason, person, key), client or Unstarted())


def foreseen(
    world: World, run: RunRow, action: Action, idempotency: Idempotency = Idempotency.NATIVE
) -> Forecast:
    """What the action would do."""
    return forecast(declaring(world.deployment, idempotency), action, run.id)


def counts(found: Forecast, step: str = "post") -> Counts:
    """What a forecast says of the records of a step; it must say that it knows."""
    (said,) = (one for one in found.steps if one.step == step)
    assert found.allowed, found.why_not
    assert said.known, said
    return said.counts


def go_on(world: World, run: RunRow, services: Services | None = None) -> RunRow:
    """Let the run's present execution work until it ends or waits for someone."""
    now = world.run(run.id)
    drive(services or world.services, run.id, now.execution, now.segment)
    return world.run(run.id)


def settled(world: World, run: RunRow, step: str = "post") -> dict[str, int]:
    """The fates of a step's records, without those that did not occur."""
    found = world.tasks(run.id)[step].counts or {}
    return {fate: count for fate, count in found.items() if count and fate != "records"}


def at(call: int, what: Callable[[], object]) -> Callable[[], None]:
    """A hook that does something at one call, counted from 1."""
    calls = []

    def hook() -> None:
        calls.append(1)
        if len(calls) == call:
            what()

    return hook
