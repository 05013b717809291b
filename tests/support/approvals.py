"""A workflow that asks people before it posts, and the people."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from commands.deciding import Decided, Decision, decide
from kernel.people import Person, Role
from store import approvals
from store.approvals import ApprovalRow
from store.runs import RunRow
from tests.support.operators import log, plain
from tests.support.world import SteppingClock, Unstarted, World, drive

CONTROLLERS, DIRECTORS = "finance-controllers", "finance-directors"


def approver(name: str, *groups: str) -> Person:
    """Somebody who may decide for these groups."""
    roles = frozenset({Role.APPROVER})
    return Person(f"local:{name}", name.title(), f"{name}@example.com", roles, frozenset(groups))


CARLA = approver("carla", CONTROLLERS)
CONRAD = approver("conrad", CONTROLLERS)
FRED = approver("fred", DIRECTORS)
RULE = f"{{approve: total > 2, by: [{CONTROLLERS}], due: 48h, because: 'Total ${{{{ total }}}} is above 2'}}"
_QUESTION = """
  - key: limits
    govern:
      facts: SELECT sum(amount) AS total FROM lines
      rules: [%s]
%s
"""


def asking(*rules: str, between: str = "") -> str:
    """The plain workflow, which posts when people agree; by default above a total of 2."""
    changes = {
        "workflow: plain": "workflow: asking",
        "  - key: lines\n": "    sensitive: [resource]\n  - key: lines\n",
        "  - key: any\n    logic_gate: {when: lines.records > 0, otherwise: end}\n": (
            "    measures: {amount: sum(amount)}" + _QUESTION % (", ".join(rules or (RULE,)), between)
        ),
    }
    text = plain()
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


def suspended(world: World, definition: str | None = None, lines: int = 3) -> RunRow:
    """A run that waits for people."""
    world.publish(definition or asking())
    run = world.start("asking", file=world.upload(log(lines)))
    return go_on(world, run)


def go_on(world: World, run: RunRow) -> RunRow:
    """Drive the run's present execution until it waits or has ended."""
    run = world.run(run.id)
    drive(world.services, run.id, run.execution, run.segment)
    return world.run(run.id)


def asked(world: World, run: RunRow) -> list[ApprovalRow]:
    """All requests of a run, oldest first."""
    with world.deployment.database.reading() as connection:
        found = approvals.list_approvals(connection, approvals.ApprovalFilter(run_id=run.id), 100)
    return found[::-1]


def say(
    world: World, approval_id: UUID, person: Person, decision: str = "approve", reason: str = "", **more: Any
) -> Decided:
    """Somebody decides."""
    given = Decision(approval_id, decision, reason or ("no" if decision == "reject" else ""), **more)
    return decide(world.deployment, given, person, Unstarted())


def skip(world: World, **time: float) -> None:
    """Let time pass."""
    cast(SteppingClock, world.services.clock).skip(timedelta(**time))


def states(rows: Sequence[ApprovalRow]) -> list[str]:
    """Their states, in order."""
    return [row.state.value for row in rows]
