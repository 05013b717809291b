"""Timer triggers on a running host: firing, past due, no overlap, one host at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.process import APPS, HostProcess, run_to_end
from tests.support.eventually import eventually


class Journal:
    """What the timer functions wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, name: str) -> list[dict[str, Any]]:
        """The entries of one function, oldest first."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in entries if entry["name"] == name]

    def wait_for(self, name: str, count: int) -> list[dict[str, Any]]:
        """Wait until a function has written `count` entries."""

        def enough() -> list[dict[str, Any]] | None:
            found = self.entries(name)
            return found if len(found) >= count else None

        return eventually(enough, within=20, what=f"{count} entries of {name}")


def _host(folder: Path, *options: str) -> HostProcess:
    environment = {"JOURNAL": str(folder / "journal"), "RARE_SCHEDULE": "0 0 0 29 2 *"}
    return HostProcess(APPS / "timers", folder, options=options, environment=environment)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """The journal of a host that fires the timers."""
    folder = tmp_path_factory.mktemp("timers")
    with _host(folder):
        yield Journal(folder / "journal")


def test_frequent_timers_fire(journal: Journal) -> None:
    entries = journal.wait_for("by_span", 2)
    assert not any(entry["past_due"] for entry in entries)
    journal.wait_for("every_second", 2)


def test_runs_of_a_timer_do_not_overlap(journal: Journal) -> None:
    ends = journal.wait_for("every_second_done", 2)
    begins = journal.entries("every_second")
    assert begins[1]["at"] >= ends[0]["at"]


def test_status_is_kept_of_timers_that_are_monitored(journal: Journal) -> None:
    """Not of those that fire more often than every minute, as in Azure, nor of those that do not want it."""
    kept = journal.path.parent / "state" / "timers"

    def names() -> set[str]:
        return {path.name for path in kept.iterdir()}

    eventually(lambda: names() == {"lock", "at_start.json", "flaky.json", "nightly.json"}, what="the status")


def test_run_on_startup_with_schedule_from_a_setting(journal: Journal) -> None:
    entries = journal.wait_for("at_start", 1)
    assert len(entries) == 1
    assert not entries[0]["past_due"]
    assert entries[0]["schedule"] == {"AdjustForDST": True}
    assert entries[0]["status"]["Next"].endswith("-02-29T00:00:00+00:00")


def test_retry_policy(journal: Journal) -> None:
    entries = journal.wait_for("flaky", 3)
    assert [entry["retry"] for entry in entries] == [0, 1, 2]
    assert entries[1]["at"] - entries[0]["at"] >= 0.9


def test_missed_firing_is_past_due_at_the_next_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    status_file = tmp_path / "state" / "timers" / "nightly.json"
    with _host(tmp_path, "--functions", "nightly"):
        eventually(status_file.exists, what="the status is written")
        status = json.loads(status_file.read_text())
    assert journal.entries("nightly") == []
    missed = {"Next": "2026-01-02T03:00:00+00:00", "LastUpdated": "2026-01-01T03:00:00+00:00"}
    status_file.write_text(json.dumps(status | missed))
    with _host(tmp_path, "--functions", "nightly") as host:
        assert journal.wait_for("nightly", 1)[0]["past_due"]
        host.logged("past due on startup")
    with _host(tmp_path, "--functions", "nightly") as host:
        host.client.post("/admin/functions/nightly", json={"input": ""}).raise_for_status()
        assert [entry["past_due"] for entry in journal.wait_for("nightly", 2)] == [True, False]
    changed = missed | {"Next": "2026-01-02T04:00:00+00:00"}
    status_file.write_text(json.dumps(status | changed))
    with _host(tmp_path, "--functions", "nightly"):
        eventually(lambda: "04:00" not in status_file.read_text(), what="the status follows the schedule")
    assert len(journal.entries("nightly")) == 2


def test_only_one_host_fires_timers_and_the_other_takes_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    second = tmp_path / "second"
    second.mkdir()
    with _host(tmp_path, "--functions", "by_span") as first:
        journal.wait_for("by_span", 1)
        environment = {"JOURNAL": str(second / "journal"), "RARE_SCHEDULE": "0 0 0 29 2 *"}
        options = ("--functions", "by_span", "--state", str(tmp_path / "state"))
        with HostProcess(APPS / "timers", second, options=options, environment=environment) as other:
            other.logged("Another host of this app fires its timers")
            journal.wait_for("by_span", len(journal.entries("by_span")) + 2)
            assert not (second / "journal").exists()
            first.process.kill()
            Journal(second / "journal").wait_for("by_span", 1)


def test_a_state_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = ("--port", "0", "--functions", "nightly", "--state", str(tmp_path / "file" / "state"))
    code, _, error = run_to_end(APPS / "timers", *options, environment={"RARE_SCHEDULE": "0 0 0 29 2 *"})
    assert code == 1
    assert error.startswith(f"When timers fired cannot be kept in {tmp_path}/file/state/timers: ")
    assert error.endswith("name another one with --state.\n")
