"""What later steps read of a dispatch is there as validation says, also when there was nothing to do."""

import pytest

from tests.integration.chunks.desk import definition, set_up
from tests.support.world import World

COUNTED = "each.records == %d && each.succeeded == %d && each.failed == %d && each.skipped == 0"
MEASURED = "each.ordered %s && each.priced.amount %s && steps.each.priced.records == %d"


def gate(condition: str) -> str:
    """A gate that lets nothing through unless the condition holds: what follows cannot be evaluated."""
    return f"""
  - key: right
    logic_gate: {{when: "{condition}", otherwise: wrong}}
  - key: ended
    logic_gate: {{when: "false", otherwise: end}}
  - key: wrong
    logic_gate: {{when: "1 / 0 > 0"}}
"""


@pytest.mark.parametrize(
    ("orders", "condition"),
    [
        (
            [("A", "5.00"), ("B", "2.50"), ("C", "5000000")],
            f"{COUNTED % (3, 2, 1)} && {MEASURED % ('== 5000007.5', '== 7.5', 2)}",
        ),
        ([("C", "5000000")], f"{COUNTED % (1, 0, 1)} && {MEASURED % ('> 1.0', '== 0.0', 0)}"),
        ([], f"{COUNTED % (0, 0, 0)} && {MEASURED % ('== 0.0', '== 0.0', 0)}"),
    ],
    ids=["some failed", "all failed", "no chunks"],
)
def test_what_later_steps_read(world: World, orders: list[tuple[str | None, str]], condition: str) -> None:
    set_up(world, orders)
    world.publish(definition(dispatch="      tolerate: 5", after=gate(condition)))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert world.tasks(run.id)["ended"].state == "SUCCEEDED"


def test_a_wrong_condition_would_be_noticed(world: World) -> None:
    set_up(world, [("A", "5.00")])
    world.publish(definition(after=gate(COUNTED % (2, 1, 0))))
    assert world.finish(world.start("post-orders")).state == "FAILED"
