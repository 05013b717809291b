"""Publishing workflows that run others: what they are pinned to, and what is refused before and at once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kernel.errors import InvalidDefinition
from store.workflows import Version
from tests.integration.api.test_api import call
from tests.support.world import World

LEAF = [{"key": "one", "transform": {"sql": "SELECT 1 AS n"}}]


def definition(key: str, *others: str, version: str = "pinned", name: str = "") -> str:
    """A workflow that runs these, as `r0`, `r1` and so on."""
    steps = [
        {"key": f"r{number}", "run": {"workflow": other, "version": version}}
        for number, other in enumerate(others)
    ]
    return json.dumps({"workflow": key, "name": name, "steps": steps or LEAF})


def plan_of(world: World, version: Version) -> Any:
    ((plan,),) = world.sql(
        "SELECT plan FROM sluice.workflow_version WHERE workflow = %s AND number = %s",
        (version.workflow, version.number),
    )
    return plan


def faults(world: World, text: str) -> list[dict[str, Any]]:
    """What validating says, which publishing must say too."""
    said = call(world, "workflows_validate", data=text.encode())
    refused = call(world, "workflows_publish", data=text.encode())
    assert (said.status, said.body["valid"], refused.status) == (200, False, 422)
    found = [
        {name: value for name, value in fault.items() if value is not None} for fault in said.body["faults"]
    ]
    assert found == refused.body["errors"]
    return found


def test_a_version_keeps_what_it_was_pinned_to(world: World) -> None:
    world.publish(definition("child"))
    parent = world.publish(definition("parent", "child"))
    world.publish(definition("child", name="Changed"))
    assert plan_of(world, parent)["pinned"] == {"r0": 1}


def test_publishing_again_after_a_child_changed_is_a_new_version(world: World) -> None:
    world.publish(definition("child"))
    text = definition("parent", "child").encode()
    assert [call(world, "workflows_publish", data=text).status for _ in range(2)] == [201, 200]
    world.publish(definition("child", name="Changed"))
    again = call(world, "workflows_publish", data=text)
    assert (again.status, again.body["number"]) == (201, 2)
    assert again.body["definition"] == json.loads(text)
    assert world.sql(
        "SELECT number, plan->'pinned' FROM sluice.workflow_version WHERE workflow = 'parent'"
    ) == [
        (1, {"r0": 1}),
        (2, {"r0": 2}),
    ]
    assert call(world, "workflows_publish", data=text).status == 200


def test_going_back_to_an_earlier_child_goes_back_to_the_earlier_version(world: World) -> None:
    for name in ("First", "Second", "First"):
        world.publish(definition("child", name=name))
        parent = world.publish(definition("parent", "child"))
    assert parent.number == 1


def test_what_runs_the_latest_version_need_not_be_published_again(world: World) -> None:
    world.publish(definition("child"))
    text = definition("parent", "child", version="latest")
    parent = world.publish(text)
    assert "pinned" not in plan_of(world, parent)
    world.publish(definition("child", name="Changed"))
    assert world.publish(text).number == 1


def test_the_audit_trail_says_what_a_version_was_pinned_to(world: World) -> None:
    world.publish(definition("child"))
    world.publish(definition("parent", "child"))
    told = world.sql("SELECT details FROM sluice.audit_event WHERE stream = 'workflows' ORDER BY sequence")
    assert [details.get("pinned") for (details,) in told] == [None, {"r0": 1}]


def test_a_child_must_be_published_first(world: World) -> None:
    world.publish(definition("chlid"))
    (fault,) = faults(world, definition("parent", "child"))
    assert (fault["code"], fault["path"], fault["line"]) == ("unknown_workflow", "steps[0].run.workflow", 1)
    assert fault["hint"] == "Did you mean 'chlid'? Publish it before this one."
    assert call(world, "workflows_get", key="parent").status == 404


@pytest.mark.parametrize("version", ["pinned", "latest"])
def test_a_cycle_over_published_workflows_is_refused(world: World, version: str) -> None:
    world.publish(definition("c"))
    world.publish(definition("b", "c", version=version))
    world.publish(definition("a", "b"))
    (fault,) = faults(world, definition("c", "a", version=version))
    assert (fault["code"], fault["path"]) == ("workflow_cycle", "steps[0].run.workflow")
    assert fault["message"] == "'c' would run itself: c -> a -> b -> c."
    assert call(world, "workflows_get", key="c").body["number"] == 1


def test_pinned_versions_count_and_not_the_active_ones(world: World) -> None:
    """`b` stays pinned to a version of `c` that runs nothing."""
    world.publish(definition("c"))
    world.publish(definition("b", "c"))
    world.publish(definition("d"))
    world.publish(definition("c", "d"))
    assert world.publish(definition("d", "b")).number == 2
    (fault,) = faults(world, definition("d", "c"))
    assert fault["message"] == "'d' would run itself: d -> c -> d."


def test_more_than_eight_levels_are_refused(world: World) -> None:
    world.publish(definition("l1"))
    for level in range(2, 9):
        world.publish(definition(f"l{level}", f"l{level - 1}", version="latest"))
    (fault,) = faults(world, definition("l9", "l8"))
    assert fault["code"] == "too_many_levels"


def test_inputs_are_compared_with_the_published_child(world: World) -> None:
    child = json.loads(definition("child")) | {"inputs": {"site": {"type": "text"}}}
    world.publish(json.dumps(child))
    assert [fault["code"] for fault in faults(world, definition("parent", "child"))] == ["missing_input"]


def test_two_that_are_published_at_once_cannot_run_each_other(world: World) -> None:
    """Each sees the other's version without references, unless one waits for the other."""
    pairs = [(f"a{number}", f"b{number}") for number in range(6)]
    for key in (key for pair in pairs for key in pair):
        world.publish(definition(key))
    ready = threading.Barrier(2)

    def publish(key: str, other: str) -> list[str]:
        ready.wait()
        try:
            world.publish(definition(key, other))
        except InvalidDefinition as refused:
            return [fault.code for fault in refused.faults]
        return []

    with ThreadPoolExecutor(2) as pool:
        for a, b in pairs:
            assert sorted(pool.map(publish, (a, b), (b, a))) == [[], ["workflow_cycle"]]
