"""Durable functions through a running host: orchestrations, activities, entities, clients, failures."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.host.process import APPS, HostProcess
from tests.support.eventually import eventually

WEBHOOKS = "/runtime/webhooks/durabletask"


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, hub_environment: Mapping[str, str]
) -> Iterator[HostProcess]:
    """A host with the app of durable functions."""
    folder = tmp_path_factory.mktemp("durable")
    with HostProcess(
        APPS / "durable", folder, environment={"HUB": "TestsOfTheHost", **hub_environment}
    ) as host:
        yield host


def _run(host: HostProcess, name: str, value: object, route: str = "run") -> dict[str, Any]:
    answer = host.client.post(f"/api/{route}/{name}", json=value)
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


def _output(host: HostProcess, name: str, value: object) -> Any:
    seen = _run(host, name, value)
    assert seen["status"] == "COMPLETED", seen
    return seen["output"]


@pytest.mark.parametrize("route", ["run", "run_in_thread"])
def test_both_kinds_of_client(host: HostProcess, route: str) -> None:
    seen = _run(host, "double_all", [1, 2, 3], route)
    assert seen == {
        "status": "COMPLETED",
        "output": {"doubled": [2, 4, 6], "version": "3.1"},
        "failure": None,
    }


def test_names_of_functions(host: HostProcess) -> None:
    assert _output(host, "Renamed", 0) == 42
    assert _output(host, "DOUBLE_ALL", [1])["doubled"] == [2]


def test_sub_orchestrations_get_the_default_version(host: HostProcess) -> None:
    assert _output(host, "parent", [1]) == "3.1"


def test_failure_of_an_activity_arrives_exactly(host: HostProcess) -> None:
    failure = _output(host, "sell", "bolt's")
    assert failure["type"] == "function_app.OutOfStock"
    assert failure["message"] == "only 'three' left: \"bolt's\" (é)"
    assert "in take" in failure["trace"]


def test_failure_of_the_result(host: HostProcess) -> None:
    failure = _output(host, "sell", "not json")
    assert failure["type"] == "ValueError"
    assert failure["message"].startswith("activity trigger output must be json serializable")


def test_failure_of_an_orchestrator(host: HostProcess) -> None:
    seen = _run(host, "raises", "broken: 'quoted'")
    assert seen["status"] == "FAILED"
    assert seen["failure"] == ["function_app.OutOfStock", "broken: 'quoted'"]


def test_retry_policy_of_an_activity(host: HostProcess) -> None:
    assert _output(host, "needs_retry", "first") == 3


def test_unknown_functions(host: HostProcess) -> None:
    seen = _run(host, "no_such_orchestrator", 0)
    assert seen["failure"][0] == "FunctionNotFound"
    assert "'no_such_orchestrator' doesn't exist" in seen["failure"][1]
    assert "double_all" in seen["failure"][1]
    assert "no_such_activity" in _run(host, "unknown_activity", 0)["failure"][1]


def test_entities(host: HostProcess) -> None:
    assert _output(host, "counts", 5) == 5
    assert _output(host, "counts", 2) == 7


def test_client_binding(host: HostProcess) -> None:
    seen = host.client.get("/api/client").json()
    assert (seen["hub"], seen["limit"]) == ("TestsOfTheHost", 16777216)
    base = str(host.client.base_url).rstrip("/")
    assert seen["links"]["statusQueryGetUri"].startswith(f"{base}{WEBHOOKS}/instances/an%20id?")


def _start(host: HostProcess, name: str, value: object, instance_id: str = "") -> dict[str, str]:
    place = f"/{instance_id}" if instance_id else ""
    answer = host.client.post(f"{WEBHOOKS}/orchestrators/{name}{place}", json=value)
    assert answer.status_code == 202, answer.text
    urls: dict[str, str] = answer.json()
    assert answer.headers["location"] == urls["statusQueryGetUri"]
    return urls


def _finished(host: HostProcess, urls: dict[str, str]) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        answer = host.client.get(urls["statusQueryGetUri"])
        return answer.json() if answer.status_code == 200 else None

    return eventually(probe, what="the instance has finished")


def _becomes(host: HostProcess, urls: dict[str, str], status: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        view: dict[str, Any] = host.client.get(urls["statusQueryGetUri"]).json()
        return view if view["runtimeStatus"] == status else None

    return eventually(probe, what=f"the instance is {status}")


def test_start_and_status(host: HostProcess) -> None:
    urls = _start(host, "double_all", [4], "my id")
    view = _finished(host, urls)
    assert view["instanceId"] == "my id"
    assert (view["runtimeStatus"], view["name"]) == ("Completed", "double_all")
    assert (view["input"], view["output"]["doubled"]) == ([4], [8])
    assert view["createdTime"].endswith("Z")
    query = {"showHistory": "true", "showHistoryOutput": "true", "showInput": "false"}
    answer = host.client.get(f"{WEBHOOKS}/instances/my%20id", params=query).json()
    assert answer["input"] is None
    events = [event["EventType"] for event in answer["historyEvents"]]
    assert events == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
    assert answer["historyEvents"][1]["FunctionName"] == "double"
    assert answer["historyEvents"][1]["Result"] == 8


def test_check_status_response_of_the_client(host: HostProcess) -> None:
    answer = host.client.post("/api/start/double_all", json=[1])
    assert answer.status_code == 202
    assert _finished(host, answer.json())["output"]["doubled"] == [2]


def test_start_and_wait(host: HostProcess) -> None:
    answer = host.client.post(f"{WEBHOOKS}/orchestrators/double_all?timeout=10", json=[3])
    assert (answer.status_code, answer.json()["doubled"]) == (200, [6])
    answer = host.client.post(f"{WEBHOOKS}/orchestrators/waits?timeout=0.2")
    assert answer.status_code == 202


def test_events_reach_a_waiting_instance_and_not_a_finished_one(host: HostProcess) -> None:
    urls = _start(host, "waits", None)
    running = eventually(
        lambda: (answer := host.client.get(urls["statusQueryGetUri"])).json()["customStatus"] and answer,
        what="the instance waits",
    )
    assert running.status_code == 202
    assert running.headers["retry-after"] == "10"
    assert running.json()["customStatus"] == "waiting"
    event = urls["sendEventPostUri"].replace("{eventName}", "approval")
    assert host.client.post(event, content="no json").status_code == 400
    assert host.client.post(event, json={"by": "Ada"}).status_code == 202
    assert _finished(host, urls)["output"] == {"approved": {"by": "Ada"}}
    assert host.client.post(event, json=1).status_code == 410


def test_suspend_resume_terminate(host: HostProcess) -> None:
    urls = _start(host, "waits", None)
    _becomes(host, urls, "Running")
    assert host.client.post(urls["suspendPostUri"].replace("{text}", "lunch")).status_code == 202
    _becomes(host, urls, "Suspended")
    assert host.client.post(urls["resumePostUri"].replace("{text}", "back")).status_code == 202
    _becomes(host, urls, "Running")
    assert host.client.post(urls["terminatePostUri"].replace("{text}", "enough")).status_code == 202
    assert _becomes(host, urls, "Terminated")["output"] == "enough"
    assert host.client.post(urls["terminatePostUri"]).status_code == 410


def test_rewind_and_restart(host: HostProcess) -> None:
    failed = _start(host, "fails_twice", "rewound")
    assert "try 1" in _becomes(host, failed, "Failed")["output"]
    answer = host.client.get(failed["statusQueryGetUri"] + "&returnInternalServerErrorOnFailure=true")
    assert answer.status_code == 500
    assert host.client.post(failed["rewindPostUri"].replace("{text}", "try")).status_code == 202
    status_url = failed["statusQueryGetUri"]
    eventually(lambda: "try 2" in str(host.client.get(status_url).json()["output"]), what="it failed again")
    assert host.client.post(failed["rewindPostUri"].replace("{text}", "again")).status_code == 202
    assert _becomes(host, failed, "Completed")["output"] == 3
    done = _start(host, "double_all", [9])
    _finished(host, done)
    assert host.client.post(done["rewindPostUri"]).status_code == 410
    answer = host.client.post(done["restartPostUri"])
    assert answer.status_code == 202
    assert answer.json()["id"] != done["id"]
    assert _finished(host, answer.json())["output"]["doubled"] == [18]
    answer = host.client.post(done["restartPostUri"] + "&restartWithNewInstanceId=false")
    assert answer.json()["id"] == done["id"]


def test_purge(host: HostProcess) -> None:
    urls = _start(host, "double_all", [1])
    _finished(host, urls)
    assert host.client.delete(urls["purgeHistoryDeleteUri"]).json() == {"instancesDeleted": 1}
    assert host.client.get(urls["statusQueryGetUri"]).status_code == 404
    assert host.client.delete(urls["purgeHistoryDeleteUri"]).status_code == 404
    assert host.client.delete(f"{WEBHOOKS}/instances").status_code == 400
    future = {"createdTimeFrom": "2999-01-01T00:00:00Z"}
    assert host.client.delete(f"{WEBHOOKS}/instances", params=future).status_code == 404


def test_list_with_paging_and_filters(host: HostProcess) -> None:
    ids = [f"paged-{number}" for number in range(5)]
    for instance_id in ids:
        _finished(host, _start(host, "double_all", [1], instance_id))
    seen: list[str] = []
    headers: dict[str, str] = {}
    query = {"instanceIdPrefix": "paged-", "top": "2", "runtimeStatus": "completed,Failed"}
    for _ in range(3):
        answer = host.client.get(f"{WEBHOOKS}/instances", params=query, headers=headers)
        seen += [view["instanceId"] for view in answer.json()]
        headers = {"x-ms-continuation-token": answer.headers.get("x-ms-continuation-token", "")}
    assert seen == ids
    assert headers["x-ms-continuation-token"] == ""
    wrong = host.client.get(f"{WEBHOOKS}/instances?runtimeStatus=Sleeping")
    assert wrong.status_code == 400
    assert "'Sleeping' is not a runtime status" in wrong.text


def test_ids_can_be_used_again_once_finished(host: HostProcess) -> None:
    _finished(host, _start(host, "double_all", [1], "again"))
    assert _finished(host, _start(host, "double_all", [2], "again"))["input"] == [2]
    _start(host, "waits", None, "busy")
    answer = host.client.post(f"{WEBHOOKS}/orchestrators/waits/busy")
    assert answer.status_code == 409


def test_refusals_of_the_http_api(host: HostProcess) -> None:
    assert host.client.get(f"{WEBHOOKS}/instances/nobody").status_code == 404
    unknown = host.client.post(f"{WEBHOOKS}/orchestrators/nothing")
    assert unknown.status_code == 400
    assert "'nothing' doesn't exist" in unknown.text
    foreign = host.client.get(f"{WEBHOOKS}/instances", headers={"origin": "https://example.com"})
    assert foreign.status_code == 403
    assert host.client.post(f"{WEBHOOKS}/orchestrators/waits", content="{").status_code == 400


def test_entities_over_http(host: HostProcess) -> None:
    place = f"{WEBHOOKS}/entities/counter/over http"
    assert host.client.get(place).status_code == 404
    assert host.client.post(place, params={"op": "add"}, json=4).status_code == 202
    assert eventually(lambda: host.client.get(place).json(), what="state") == 4
    views = host.client.get(f"{WEBHOOKS}/entities/Counter", params={"fetchState": "true"}).json()
    assert {json.dumps(view["entityId"]): view["state"] for view in views}[
        '{"name": "counter", "key": "over http"}'
    ] == 4


def test_no_more_activities_at_a_time_than_host_json_says(host: HostProcess) -> None:
    assert _output(host, "crowds", 10) == 4


def test_one_process_by_default(host: HostProcess) -> None:
    assert set(_output(host, "processes", 4)) == {host.process.pid}


@pytest.fixture(scope="module")
def processes_host(
    tmp_path_factory: pytest.TempPathFactory, hub_environment: Mapping[str, str]
) -> Iterator[HostProcess]:
    """A host that runs durable functions in two worker processes."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {"HUB": "TestsOfProcesses", "FUNCTIONS_WORKER_PROCESS_COUNT": "2", **hub_environment}
    with HostProcess(APPS / "durable", folder, environment=environment) as host:
        yield host


def test_durable_work_is_shared_by_processes(processes_host: HostProcess) -> None:
    seen = set(_output(processes_host, "processes", 12))
    assert len(seen) == 2
    assert processes_host.process.pid not in seen
    assert _output(processes_host, "sell", "nut")["type"] == "function_app.OutOfStock"
    assert _output(processes_host, "counts", 5) == 5


def test_work_of_a_process_that_ends_is_done_by_another(processes_host: HostProcess, tmp_path: Path) -> None:
    task = {"file": str(tmp_path / "journal"), "times": 2}
    assert _output(processes_host, "survives", task) == 3
    processes_host.logged("A worker process has ended with code 3; it is started again.")


def test_work_that_ends_every_process_fails(processes_host: HostProcess, tmp_path: Path) -> None:
    seen = _run(processes_host, "survives", {"file": str(tmp_path / "journal"), "times": 99})
    assert seen["status"] == "FAILED"
    assert "The worker process ended 3 times while it ran the function 'end_process'." in seen["failure"][1]
    assert len((tmp_path / "journal").read_text().splitlines()) == 3
    assert _output(processes_host, "Renamed", 0) == 42


def test_processes_end_with_the_host(processes_host: HostProcess) -> None:
    pids = [int(pid) for pid in _output(processes_host, "processes", 12)]
    assert processes_host.stop() == 0
    for pid in set(pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
