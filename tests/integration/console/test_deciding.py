"""Deciding on the page of a request: in two steps, with a reason to reject, and told plainly afterwards."""

from tests.integration.console.visitor import Reply, Visitor, visitor
from tests.support.approvals import CARLA, asked, suspended
from tests.support.world import World


def page(world: World) -> str:
    """The address of a request that waits."""
    [row] = asked(world, suspended(world))
    return f"/approvals/{row.id}"


def begun(who: Visitor, address: str, decision: str, reason: str = "") -> Reply:
    """The page that says again what a decision does."""
    return who.send(who.open(address).form("/confirm"), decision=decision, reason=reason)


def test_approving_takes_two_steps_and_then_shows_who_and_when(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    confirmation = begun(carla, address, "approve")
    assert confirmation.status == 200
    assert "Approve 3 records with an amount of 3.75?" in confirmation.words.replace("\xa0", " ")
    assert world.sql("SELECT state FROM sluice.approval") == [("REQUESTED",)]
    done = carla.send(confirmation.form("/decision"))
    assert (done.status, done.headers["Location"]) == (303, address)
    words = carla.open(address).words
    assert "This was approved" in words
    assert "Carla" in words
    assert world.sql("SELECT decision, source, actor FROM sluice.approval_decision") == [
        ("approve", "page", "local:carla")
    ]
