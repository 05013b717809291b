"""Runs are watched over HTTP while the host is killed: every change comes up once, and the end does."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.faults.deployment import Deployment
from tests.faults.load import LINES, Kind, new_load
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from workflows.states import RunState

CHUNKS = 150
SLOW = Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=0.05)
LINE_BY_LINE = (
    f"workflow: line-by-line{LINES}"
    + """\
  - key: each
    dispatch:
      over: lines
      key: [project]
      concurrency: 8
      steps:
        - key: post
          push: {connector: books, operation: keyed_batch, records: chunk, key: [project]}
          retry: {attempts: 5, first: 1s, factor: 2, max: 4s}
"""
)
ABOVE = """
workflow: above
inputs: {file: {type: text}}
steps:
  - key: inner
    run: {workflow: line-by-line, inputs: {file: "${{ inputs.file }}"}}
"""


def prepared(deployment: Deployment) -> None:
    deployment.register(timeout=5)
    assert deployment.api is not None
    deployment.api.publish(LINE_BY_LINE)
    deployment.api.publish(ABOVE)
    deployment.erp.faults(SLOW)


def watched(deployment: Deployment, run_id: str) -> Iterator[dict[str, Any]]:
    """The run's events until its end; a host that is away is asked again with the same cursor."""
    query: dict[str, str] = {}
    while True:
        host = deployment.host
        try:
            assert host is not None
            answer = host.client.get(f"/api/runs/{run_id}/events", params=query, timeout=30).json()
        except (httpx2.HTTPError, AssertionError):
            eventually(lambda: deployment.api is not None, within=60, what="the host is back")
            continue
        yield from answer["events"]
        if any(event["type"] == "final" for event in answer["events"]):
            return
        query["after"] = answer["next"]


@pytest.mark.timeout(300)
def test_a_fan_out_is_watched_to_its_end_though_the_host_is_killed(deployment: Deployment) -> None:
    prepared(deployment)
    load = new_load(Kind.NATIVE, CHUNKS)
    run_id = deployment.start(load, "line-by-line")
    events: list[dict[str, Any]] = []
    watcher = threading.Thread(target=lambda: events.extend(watched(deployment, run_id)))
    watcher.start()
    eventually(lambda: deployment.confirmed(run_id) >= 20, within=60, what="chunks are posted")
    deployment.kill()
    deployment.up()
    assert deployment.wait_end(run_id, within=120) is RunState.SUCCEEDED, deployment.failure(run_id)
    watcher.join(60)
    assert events[-1]["type"] == "final"
    assert events[-1]["state"] == "SUCCEEDED"
    changes = [(event["step"], event["state"]) for event in events if event["type"] in ("run", "step")]
    recorded = deployment.sql(
        "SELECT step_key, change.after FROM sluice.state_transition change LEFT JOIN sluice.task_run task"
        " ON task.id = entity_id WHERE entity_id = %s OR task.run_id = %s AND task.chunk_id IS NULL"
        " ORDER BY change.id",
        run_id,
        run_id,
    )
    assert sorted(changes, key=str) == sorted(recorded, key=str)
    told = [event["progress"] for event in events if event["type"] == "progress"]
    assert told[-1]["succeeded"] == told[-1]["total"] == CHUNKS
    assert [one["succeeded"] for one in told] == sorted(one["succeeded"] for one in told)
    counts = deployment.erp.counts("keyed")
    assert {counts[key] for key in load.keys} == {1}


@pytest.mark.timeout(300)
def test_a_nested_run_obeys_the_cancellation_of_the_run_above_it(deployment: Deployment) -> None:
    prepared(deployment)
    run_id = deployment.start(new_load(Kind.NATIVE, CHUNKS), "above")
    inner = eventually(
        lambda: deployment.sql("SELECT id::text FROM sluice.workflow_run WHERE parent_run_id = %s", run_id),
        what="the nested run is made",
    )[0][0]
    eventually(lambda: deployment.confirmed(inner) >= 10, within=60, what="chunks are posted")
    deployment.ask("cancel", run_id)
    for one in (run_id, inner):
        assert deployment.wait_end(one) is RunState.CANCELLED
    posted = deployment.confirmed(inner)
    assert 10 <= posted < CHUNKS
    assert deployment.sql("SELECT count(*) FROM sluice.posting WHERE state = 'SENT'") == [(0,)]
