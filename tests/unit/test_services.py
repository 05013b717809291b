"""Parts of the local services that need no server: kept values, locks, ports, the search for Node.js."""

import json
import socket
import threading
from pathlib import Path

import psutil
import pytest

from kernel.errors import Unavailable
from localhost.services.daemon import last_lines
from localhost.services.filelock import locked
from localhost.services.node import find_node
from localhost.services.ports import LOOPBACK, free_port, is_free, listens
from localhost.services.stack import Endpoints, Stack
from localhost.services.toolbox import installed, run_installer
from localhost.services.valuefile import ValueFile


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_value_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    assert ValueFile(path).recall("name", lambda: "first") == "first"
    assert ValueFile(path).recall("name", lambda: "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert ValueFile(path).keep("name", "third") == ValueFile(path).get("name") == "third"
    assert json.loads(path.read_text()) == {"name": "third"}
    assert ValueFile(path).get("other") is None


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Unavailable, match=f"{path}.*remove the folder {tmp_path} to start afresh"):
        ValueFile(path).get("name")


def test_threads_do_not_lose_each_others_values(tmp_path: Path) -> None:
    values = ValueFile(tmp_path / "values.json")
    threads = [threading.Thread(target=values.keep, args=(f"n{n}", str(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {values.get(f"n{n}") for n in range(20)} == {str(n) for n in range(20)}


def test_a_lock_is_waited_for_and_the_waiting_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        locked(tmp_path / "a.lock", lambda: None),
        pytest.raises(Unavailable, match=r"held .*a\.lock for 0 s: end it"),
        locked(tmp_path / "a.lock", lambda: told.append("waiting"), within=0),
    ):
        pytest.fail("taken twice")
    assert told == ["waiting"]
    with locked(tmp_path / "a.lock", lambda: told.append("again"), within=0):
        assert told == ["waiting"]


def test_a_port_is_free_until_somebody_listens() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        assert listens(psutil.Process(), [port])
        assert not listens(psutil.Process(), [port, free_port()])
    assert not is_free(99_999)


def test_the_first_node_that_runs_and_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "shims" / "node", "#!/bin/sh\nexit 127\n")
    program(tmp_path / "old" / "node", "#!/bin/sh\necho v18.19.0\n")
    good = program(tmp_path / "good" / "node", "#!/bin/sh\necho v22.1.0\n")
    npm = program(tmp_path / "good" / "npm", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in ("shims", "old", "good")))
    node = find_node(tmp_path, lambda _text: None)
    assert (node.program, node.npm) == (good, (npm,))
    assert node.environment()["PATH"].startswith(f"{good.parent}:")


def test_without_node_and_uv_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements-node.txt").touch()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match=r"no `uv` to install it: start with `python3 dev\.py`"):
        find_node(tmp_path, lambda _text: None)


def test_a_tool_is_installed_once_and_a_half_made_one_never_used(tmp_path: Path) -> None:
    lock, said = tmp_path / "lock.json", list[str]()
    lock.write_text("1")

    def fill(draft: Path) -> None:
        draft.mkdir()
        (draft / "program").touch()

    def fail(draft: Path) -> None:
        fill(draft)
        raise Unavailable("the network is down")

    with pytest.raises(Unavailable, match="the network is down"):
        installed(tmp_path, "Tool", lock, said.append, fail)
    first = installed(tmp_path, "Tool", lock, said.append, fill)
    assert installed(tmp_path, "Tool", lock, said.append, fail) == first
    assert [path.name for path in first.iterdir()] == ["program"]
    assert len(said) == 2
    lock.write_text("2")
    assert installed(tmp_path, "Tool", lock, said.append, fill) != first


def test_an_installer_that_fails_has_the_last_word(tmp_path: Path) -> None:
    for command, words in (
        (["sh", "-c", "echo no route >&2; exit 3"], "no route"),
        (["/nonexistent"], "No such"),
    ):
        with pytest.raises(Unavailable, match=f"Not installed.*{words}.*Try later"):
            run_installer(
                command, folder=tmp_path, environment={}, failed="Not installed", remedy="Try later."
            )


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert last_lines(log) == f"There is no log at {log}."
    log.write_text("\n".join(f"line {n}" for n in range(9)))
    assert last_lines(log, 2) == f"The end of {log}:\n  line 7\n  line 8"


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "services.lock").mkdir()
    with pytest.raises(
        Unavailable, match=rf"directory \({tmp_path}/services\.lock\)\. Check the permissions"
    ):
        Stack(tmp_path, tmp_path).start()


def test_endpoints_do_not_show_their_secrets() -> None:
    canary = "c4n4ry"
    ends = Endpoints(canary, canary, "127.0.0.1", 5432, "erp", "erp", canary, canary, canary, 25, "")
    assert canary not in repr(ends)
    assert "5432" in repr(ends)
