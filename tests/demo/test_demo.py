"""The demo as a newcomer runs it: a real process, a real host, and `kill -9` in between."""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
import pytest

from localhost.services import databases
from localhost.services.stack import Stack
from tests.support.services import PROJECT, place_for_data
from tests.support.world import COLUMNS, WORK_LOG, work_log

LINES, REJECTED = 4_233, 133
RUN_FAILED = 6


@dataclass(frozen=True)
class Demo:
    """Runs the demo with its state in one folder."""

    state_dir: Path

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run it to its end with `--json`; returns the object on the last line."""
        done = subprocess.run(
            self.command(*arguments), cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == code, done.stdout[-2_000:] + done.stderr[-4_000:]
        assert "Traceback" not in done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def killed(self, after: float) -> None:
        """Run it and kill it and its host at a moment."""
        process = subprocess.Popen(
            self.command(), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            if "postgres" not in member.name() and "node" not in member.name():
                member.send_signal(signal.SIGKILL)
        process.wait()

    def command(self, *arguments: str) -> Sequence[str]:
        """The command line."""
        own = ["--json", "--state-dir", str(self.state_dir)]
        return [sys.executable, "-m", "localhost", "demo", *own, *arguments]

    def stop(self) -> None:
        """Stop everything of this folder."""
        subprocess.run(self.command("--stop"), cwd=PROJECT, check=True, timeout=60)

    def ledger(self) -> tuple[Any, ...]:
        """Lines, distinct keys and the sum, as a plain SQL client sees them."""
        return self._row(
            "erp",
            databases.ERP,
            "SELECT count(*), count(DISTINCT (case_id, activity, worker, work_date)),"
            " coalesce(sum(amount), 0) FROM job_ledger",
        )

    def unfinished(self) -> int:
        """How many runs have not ended."""
        query = "SELECT count(*) FROM sluice.workflow_run WHERE state IN ('PENDING', 'RUNNING', 'SUSPENDED')"
        count: int = self._row("sluice", databases.OWNER, query)[0]
        return count

    def _row(self, database: str, role: str, query: LiteralString) -> tuple[Any, ...]:
        stack = Stack(PROJECT, self.state_dir)
        stack.start()
        try:
            url = stack.postgres.url(database, role).replace("+psycopg", "")
            with psycopg.connect(url) as connection:
                row = connection.execute(query).fetchone()
        finally:
            stack.stop()
        assert row is not None
        return row


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A demo with new data; everything it left running is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-demo-", dir=place_for_data()))
    # PostgreSQL may run as another account, which has to pass through this folder.
    folder.chmod(0o755)
    yield Demo(folder / "state")
    Demo(folder / "state").stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.usefixtures("services")
def test_the_demo_posts_the_work_log_and_never_twice(demo: Demo) -> None:
    first = demo.run()
    assert (first["status"], first["totals_proved"]) == ("SUCCEEDED", True)
    assert (first["records_read"], first["posted"], first["rejected"]) == (5_149, LINES, REJECTED)
    assert (first["hours_read"], first["hours_posted"], first["hours_rejected"]) == (
        "10290.35", "5505.45", "4784.90",
    )  # fmt: skip
    assert {task["state"] for task in first["tasks"]} == {"SUCCEEDED"}
    assert [(one["state"], one["links_changed_nothing"]) for one in first["approvals"]] == [
        ("APPROVED", "true")
    ]
    again = demo.run("--again")
    assert (again["status"], again["posted"], again["already_posted"]) == ("SUCCEEDED", 0, LINES)
    assert demo.ledger() == (LINES, LINES, Decimal(first["amount"]))


@pytest.mark.usefixtures("services")
@pytest.mark.timeout(1200)
def test_killing_it_at_any_moment_and_running_again_doubles_nothing(
    demo: Demo, soak: Callable[[int, int], int]
) -> None:
    demo.run("--limit", "0.01", code=RUN_FAILED)
    for seed in range(soak(2, 20)):
        demo.killed(random.Random(seed).uniform(2.0, 6.5))  # noqa: S311 - moments, not secrets
        lines, distinct, _ = demo.ledger()
        assert lines == distinct, seed
    result = demo.run()
    assert result["posted"] + result["already_posted"] == LINES
    assert demo.ledger() == (LINES, LINES, Decimal(result["amount"]))
    demo.run("--again")
    assert demo.unfinished() == 0


@pytest.mark.usefixtures("services")
def test_a_denied_batch_and_bad_files_say_why_and_post_nothing(demo: Demo, tmp_path: Path) -> None:
    rejected = demo.run("--deny", code=RUN_FAILED)
    assert (rejected["status"], rejected["failure"]["code"]) == ("FAILED", "approval_rejected")
    assert rejected["failure"]["message"] == "Rejected: Not this week"
    assert [one["state"] for one in rejected["approvals"]] == ["REJECTED"]
    assert demo.ledger() == (0, 0, 0)
    denied = demo.run("--limit", "100.00", code=RUN_FAILED)
    assert (denied["status"], denied["failure"]["step"]) == ("FAILED", "limits")
    assert "above the limit of 100.00" in denied["failure"]["message"]
    short = tmp_path / "short.csv"
    short.write_bytes(WORK_LOG.read_bytes().replace(b"end_time", b"finish", 1))
    missing = demo.run("--input", str(short), code=RUN_FAILED)
    assert "end_time" in json.dumps(missing["failure"])
    big = tmp_path / "big.csv"
    big.write_bytes(work_log([COLUMNS]) + b"x" * 60_000_000)
    refused = demo.run("--input", str(big), code=1)
    assert (refused["run_id"], refused["status"]) == (None, "FAILED")
    assert "50,000,000" in refused["failure"]["message"]
    gone = demo.run("--input", str(tmp_path / "gone.csv"), code=1)
    assert "gone.csv" in gone["failure"]["message"]
    assert demo.ledger() == (0, 0, Decimal(0))
