"""A durable app over the end of its host: killed and started again; a second host; its own database."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from localhost.host.hub_database import SETTING
from localhost.services import cluster
from tests.host.process import APPS, HostProcess, run_to_end
from tests.support.eventually import eventually

WEBHOOKS = "/runtime/webhooks/durabletask"


def _status(host: HostProcess, instance_id: str) -> dict[str, Any]:
    view: dict[str, Any] = host.client.get(f"{WEBHOOKS}/instances/{instance_id}").json()
    return view


def _starts(host: HostProcess, name: str, value: object, instance_id: str) -> None:
    answer = host.client.post(f"{WEBHOOKS}/orchestrators/{name}/{instance_id}", json=value)
    assert answer.status_code == 202, answer.text


def _output(host: HostProcess, instance_id: str) -> Any:
    def finished() -> dict[str, Any] | None:
        view = _status(host, instance_id)
        return view if view["runtimeStatus"] == "Completed" else None

    return eventually(finished, within=20, what=f"{instance_id} completes")["output"]


def _begin(host: HostProcess) -> None:
    """Something that waits, something that runs, something that counts."""
    _starts(host, "waits", None, "waiting")
    _starts(host, "runs_slow", 1.0, "running")
    _starts(host, "counts", 5, "counting")
    host.client.post(f"{WEBHOOKS}/instances/waiting/raiseEvent/noise", json=1).raise_for_status()
    eventually(lambda: _status(host, "waiting")["customStatus"] == "waiting", what="it waits")


def _go_on(host: HostProcess) -> None:
    """What was begun comes to its end, exactly."""
    host.client.post(f"{WEBHOOKS}/instances/waiting/raiseEvent/approval", json=True).raise_for_status()
    assert _output(host, "waiting") == {"approved": True}
    assert _output(host, "running") == "slept"
    assert _output(host, "counting") == 5


def _killed(host: HostProcess) -> None:
    host.process.kill()
    host.process.wait()


def test_a_host_that_was_killed_goes_on(hub_environment: Mapping[str, str], tmp_path: Path) -> None:
    environment = {"HUB": "Killed", **hub_environment}
    with HostProcess(APPS / "durable", tmp_path, environment=environment) as host:
        _begin(host)
        _killed(host)
    with HostProcess(APPS / "durable", tmp_path, environment=environment) as host:
        _go_on(host)


def test_a_second_host_is_told_who_has_the_hub(hub_environment: Mapping[str, str], tmp_path: Path) -> None:
    environment = {"HUB": "Taken", **hub_environment}
    options = ("--port", "0", "--state", str(tmp_path / "other"))
    with HostProcess(APPS / "durable", tmp_path, environment=environment) as host:
        code, _, error = run_to_end(APPS / "durable", *options, environment=environment)
        assert code == 1
        assert error.startswith(f"Task hub 'Taken' is in use by process {host.process.pid} on ")
        assert error.count("\n") == 1


def test_a_hub_without_a_database_is_a_sentence(tmp_path: Path) -> None:
    environment = {"HUB": "Nowhere", SETTING: "postgresql://someone:geheim@127.0.0.1:1/nothing"}
    options = ("--port", "0", "--state", str(tmp_path))
    code, output, error = run_to_end(APPS / "durable", *options, environment=environment)
    assert code == 1
    assert error.startswith("The task hub's database cannot be reached: ")
    assert "Traceback" not in error
    assert "geheim" not in output + error


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder that the database's own account may enter; its server is ended at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-host-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _server(folder: Path) -> Callable[[], bool]:
    """Whether the database server of a host's state folder runs."""
    home = cluster.find(folder / "state")
    assert home is not None
    return lambda: any(process.status() != psutil.STATUS_ZOMBIE for process in home.processes())


def test_a_host_brings_its_own_database(own_folder: Path) -> None:
    environment = {"HUB": "Own", SETTING: ""}
    with HostProcess(APPS / "durable", own_folder, environment=environment) as host:
        _begin(host)
        runs = _server(own_folder)
        assert runs()
        _killed(host)
    assert runs()
    with HostProcess(APPS / "durable", own_folder, environment=environment) as host:
        _go_on(host)
        with_other_hub = {**environment, "HUB": "Other"}
        elsewhere = own_folder / "elsewhere"
        elsewhere.mkdir()
        options = ("--state", str(own_folder / "state"))
        with HostProcess(APPS / "durable", elsewhere, options=options, environment=with_other_hub) as other:
            assert other.stop() == 0
        assert _status(host, "waiting")["runtimeStatus"] == "Completed"
        assert host.stop() == 0
    eventually(lambda: not runs(), what="the database server ends with the last host")


def test_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = ("--port", "0", "--state", str(tmp_path / "file" / "state"))
    code, _, error = run_to_end(APPS / "durable", *options, environment={"HUB": "Own", SETTING: ""})
    assert code == 1
    assert error.startswith(f"The task hub cannot be kept in {tmp_path}/file/state: ")
    assert error.count("\n") == 1
