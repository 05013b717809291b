"""The application as a child process: started, found again, and never confused with somebody else's."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from kernel.errors import Unavailable
from localhost.application import Application
from localhost.session import Session
from tests.host.process import APPS, REPOSITORY

ROOT = APPS / "blueprint"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[psutil.Process]:
    """A host that its starter does not stop."""
    starter = Application(ROOT, tmp_path)
    url = starter.start(ENVIRONMENT, port=0)
    assert httpx2.get(f"{url}/api/orders/1").text == "order 1"
    yield psutil.Process(json.loads((tmp_path / "host.json").read_text())["pid"])
    starter.stop()


def test_a_forgotten_host_is_stopped(running: psutil.Process, tmp_path: Path) -> None:
    Application(ROOT, tmp_path).stop_abandoned()
    assert not running.is_running()


def test_a_host_of_another_state_folder_is_left_alone(running: psutil.Process, tmp_path: Path) -> None:
    """Its number may be the one that an old note names."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "host.json").write_text(json.dumps({"pid": running.pid}))
    Application(ROOT, other).stop_abandoned()
    assert running.status() != psutil.STATUS_ZOMBIE


def test_a_host_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"There is no host\.json in"):
        Application(APPS, tmp_path).start(ENVIRONMENT, port=0)


def test_a_session_that_was_not_started_has_no_addresses(tmp_path: Path) -> None:
    session = Session(ROOT, tmp_path, lambda _text: None)
    for ask in (session.erp_address, session.addresses):
        with pytest.raises(Unavailable, match="start it first"):
            ask()
