"""`kill -9` of the host while people are asked and decide: no decision is lost, invented or made twice."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest

from kernel.errors import SluiceError
from tests.faults.deployment import Deployment
from tests.faults.load import Kind, Load, new_load
from tests.support.eventually import eventually
from workflows.states import RunState

SIZE, SOON = 10, 60
WORKFLOW = "post-asked"
_QUESTION = """  - key: limits
    govern:
      facts: SELECT count(*) AS lines FROM costs
      rules: [{approve: lines > 0, by: [finance-controllers], quorum: 2, because: Every batch}]
  - key: post
"""
PEOPLE = ("carla", "conrad")


def definition() -> str:
    """The workflow that posts with native keys, behind a question for two people."""
    text = Kind.NATIVE.definition().replace(f"workflow: {Kind.NATIVE.workflow}", f"workflow: {WORKFLOW}")
    return text.replace("  - key: post\n", _QUESTION)


def begun(deployment: Deployment, load: Load, moment: float) -> str:
    """A run that was asked for, the host killed a moment later and started again."""
    run_id = deployment.start(load, WORKFLOW)
    deployment.sql("SELECT pg_sleep(%s)", moment)
    deployment.kill()
    deployment.up()
    return run_id


def request_of(deployment: Deployment, run_id: str) -> str:
    """The one request of a run."""
    query = "SELECT id::text FROM sluice.approval WHERE run_id = %s"
    eventually(lambda: deployment.sql(query, run_id), within=SOON, what=f"{run_id} asks")
    ((approval_id,),) = deployment.sql(query, run_id)
    return str(approval_id)


def decide(deployment: Deployment, approval_id: str, person: str, decision: str) -> int:
    """The status with which a decision is answered."""
    assert deployment.host is not None
    body = {"decision": decision, "reason": "because"}
    headers = {"X-Sluice-Person": person}
    answer = deployment.host.client.post(
        f"/api/approvals/{approval_id}/decisions", json=body, headers=headers
    )
    return answer.status_code


def decide_and_die(
    deployment: Deployment, approval_id: str, person: str, decision: str, moment: float
) -> None:
    """A decision on its way, and the host killed a moment later."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(decide, deployment, approval_id, person, decision)
        deployment.sql("SELECT pg_sleep(%s)", moment)
        deployment.kill()
        with suppress(httpx2.TransportError, SluiceError):
            asked.result()
    deployment.up()


def said(deployment: Deployment, approval_id: str) -> dict[str, str]:
    """What was written down, by person."""
    query = "SELECT actor, decision FROM sluice.approval_decision WHERE approval_id = %s"
    return {actor.removeprefix("local:"): decision for actor, decision in deployment.sql(query, approval_id)}


@pytest.mark.timeout(600)
def test_decisions_under_kills(deployment: Deployment, kills: int) -> None:
    chance = random.Random(7)  # noqa: S311 - moments of kills
    deployment.register()
    assert deployment.api is not None
    deployment.api.publish(definition())
    for number in range(max(1, kills // 3)):
        last = "reject" if number % 2 else "approve"
        load = new_load(Kind.NATIVE, SIZE)
        run_id = begun(deployment, load, chance.uniform(0, 0.4))
        approval_id = request_of(deployment, run_id)
        decide_and_die(deployment, approval_id, PEOPLE[0], "approve", chance.uniform(0, 0.03))
        if not said(deployment, approval_id):
            assert decide(deployment, approval_id, PEOPLE[0], "approve") == 200
        assert deployment.state(run_id) is not RunState.SUCCEEDED
        assert posted(deployment, load) == 0
        decide_and_die(deployment, approval_id, PEOPLE[1], last, 0.25)
        if len(said(deployment, approval_id)) < len(PEOPLE):
            assert decide(deployment, approval_id, PEOPLE[1], last) == 200
        ended = deployment.wait_end(run_id, within=150, revive=True)
        assert ended is (RunState.FAILED if last == "reject" else RunState.SUCCEEDED)
        assert posted(deployment, load) == (0 if last == "reject" else SIZE)
        assert said(deployment, approval_id) == {PEOPLE[0]: "approve", PEOPLE[1]: last}
        states = deployment.sql("SELECT state FROM sluice.approval WHERE run_id = %s", run_id)
        assert states == [("REJECTED" if last == "reject" else "APPROVED",)]


def posted(deployment: Deployment, load: Load) -> int:
    """How many of the records the ERP has; none twice."""
    lines = [line.key for line in deployment.erp.ledger() if line.key in load.keys]
    assert len(lines) == len(set(lines))
    return len(lines)
