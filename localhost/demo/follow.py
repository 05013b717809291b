"""Follows a run with a live display on a terminal, or a line per change elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live

from kernel.errors import Unavailable
from localhost.demo.client import ENDED, Api
from localhost.demo.report import task_table

POLL_SECONDS = 0.15
STUCK_SECONDS = 600.0


def follow(api: Api, run_id: str, console: Console, seen: dict[str, str]) -> dict[str, Any]:
    """Poll the run until it has ended or waits for people; returns it. `seen` are the states of steps that
    were told before."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            return _poll(api, run_id, lambda run: live.update(task_table(run)))

    def say(run: dict[str, Any]) -> None:
        for task in run["tasks"]:
            if task["state"] != "PENDING" and seen.get(task["step"]) != task["state"]:
                seen[task["step"]] = task["state"]
                console.print(f"{task['step']}: {task['state']}", highlight=False)

    return _poll(api, run_id, say)


def _poll(api: Api, run_id: str, update: Any) -> dict[str, Any]:
    deadline = time.monotonic() + STUCK_SECONDS
    while time.monotonic() < deadline:
        run = api.run(run_id)
        update(run)
        if run["state"] in ENDED or run["waits_for"]:
            return run
        time.sleep(POLL_SECONDS)
    raise Unavailable(f"The run {run_id} has not ended within {STUCK_SECONDS:.0f} s; see the host's log.")
