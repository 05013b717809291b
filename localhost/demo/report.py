"""What a run came to, as one JSON object and as a table."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

SECONDS_AN_HOUR = Decimal(3600)
_STYLES = {"SUCCEEDED": "green", "FAILED": "red", "SKIPPED": "yellow", "RUNNING": "cyan"}


def hours(seconds: Decimal) -> str:
    """Whole seconds as hours with two decimals."""
    return str((seconds / SECONDS_AN_HOUR).quantize(Decimal("0.01"), ROUND_HALF_EVEN))


def summary(run: Mapping[str, Any]) -> dict[str, Any]:
    """The result, hours and amounts as decimal strings; `amount` is what the ledger has of this batch."""
    tasks = {task["step"]: task for task in run["tasks"]}
    totals = {line["measure"]: line for line in run["totals"] or []}
    worked, money = totals.get("worked_seconds", {}), totals.get("amount", {})
    posting = tasks["post"]["counts"]
    rejected = tasks["costs"]["counts"].get("rejected", 0) + posting.get("rejected", 0)
    read = worked.get("read", _measure(tasks["work_log"], "worked_seconds"))
    posted_amount, earlier_amount = (Decimal(money.get(n, "0")) for n in ("posted", "already_posted"))
    return {
        "run_id": run["id"],
        "status": run["state"],
        "tasks": [_task(task) for task in run["tasks"]],
        "records_read": tasks["work_log"]["counts"].get("records", 0),
        "posted": posting.get("posted", 0),
        "already_posted": posting.get("already_posted", 0),
        "rejected": rejected,
        "hours_read": hours(Decimal(read)),
        "hours_posted": hours(Decimal(worked.get("posted", "0"))),
        "hours_already_posted": hours(Decimal(worked.get("already_posted", "0"))),
        "hours_rejected": hours(Decimal(worked.get("rejected", _rejected(tasks["costs"])))),
        "amount": f"{posted_amount + earlier_amount:.2f}",
        "amount_posted": f"{posted_amount:.2f}",
        "totals": run["totals"] or [],
        "totals_proved": bool(totals) and all(line["proved"] for line in totals.values()),
        "seconds": _seconds(run["created_at"], run["finished_at"]),
        "failure": run["failure"],
    }


def failed_before_run(message: str, faults: list[dict[str, Any]]) -> dict[str, Any]:
    """The same shape for a demo that did not get as far as a run."""
    nothing: dict[str, Any] = dict.fromkeys(("records_read", "posted", "already_posted", "rejected"), 0)
    names = (
        "hours_read",
        "hours_posted",
        "hours_already_posted",
        "hours_rejected",
        "amount",
        "amount_posted",
    )
    return {
        "run_id": None,
        "status": "FAILED",
        "tasks": [],
        **nothing,
        **dict.fromkeys(names, "0.00"),
        "totals": [],
        "totals_proved": False,
        "seconds": 0.0,
        "failure": {"step": None, "code": "not_started", "message": message, "faults": faults},
    }


def show(console: Console, run: Mapping[str, Any]) -> None:
    """Print the run as tables."""
    console.print(task_table(run))
    result = summary(run)
    console.print(f"Run {result['run_id']}: {styled(result['status'])}", highlight=False, soft_wrap=True)
    table = Table(show_header=False)
    for label, value in _facts(result):
        table.add_row(label, value)
    console.print(table)
    if result["failure"]:
        console.print(failure_text(result["failure"]), markup=False, highlight=False, soft_wrap=True)


def task_table(run: Mapping[str, Any]) -> Table:
    """One line a task, with state, duration and counts."""
    table = Table(title=f"{run['workflow']} version {run['version']}", title_justify="left")
    for name in ("Step", "Verb", "State"):
        table.add_column(name)
    for name in ("Time", "Records"):
        table.add_column(name, justify="right")
    for task in run["tasks"]:
        seconds = _seconds(task["started_at"], task["finished_at"])
        spent = f"{seconds:.2f} s" if task["finished_at"] and task["started_at"] else ""
        table.add_row(task["step"], task["verb"], styled(task["state"]), spent, _counts(task["counts"]))
    return table


def failure_text(failure: Mapping[str, Any]) -> str:
    """Why it failed, with places and remedies."""
    where = f" at step {failure['step']!r}" if failure.get("step") else ""
    lines = [f"Failed{where}: {failure['message']}"]
    for fault in failure["faults"]:
        place = f"line {fault['line']}: " if fault.get("line") else ""
        found = f" (found {fault['value']!r})" if fault.get("value") else ""
        lines.append(f"  {place}{fault['message']}{found} {fault.get('hint') or ''}".rstrip())
    return "\n".join(lines)


def styled(state: str) -> str:
    """A state in its colour; the word itself says it too."""
    return f"[{_STYLES.get(state, 'default')}]{state}[/]"


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Records read", f"{result['records_read']:,}"),
        ("Hours read", result["hours_read"]),
        ("Lines posted", f"{result['posted']:,} ({result['hours_posted']} h)"),
        ("Already posted", f"{result['already_posted']:,} ({result['hours_already_posted']} h)"),
        ("Dead letters", f"{result['rejected']:,} ({result['hours_rejected']} h)"),
        (_amount_label(result), result["amount"]),
        ("Control totals proved", "yes" if result["totals_proved"] else "no"),
        ("Time", f"{result['seconds']:.2f} s"),
    ]


def _amount_label(result: Mapping[str, Any]) -> str:
    """A run that failed proves nothing about what the ledger has, only what it posted itself."""
    return "Amount in the ledger" if result["status"] == "SUCCEEDED" else "Amount posted"


def _task(task: Mapping[str, Any]) -> dict[str, Any]:
    seconds = _seconds(task["started_at"], task["finished_at"])
    return {"step": task["step"], "verb": task["verb"], "state": task["state"], "seconds": seconds}


def _counts(counts: Mapping[str, int]) -> str:
    named = {name: name.removesuffix("s") if count == 1 else name for name, count in counts.items()}
    return ", ".join(f"{count:,} {named[name].replace('_', ' ')}" for name, count in counts.items() if count)


def _measure(task: Mapping[str, Any], name: str) -> str:
    return str(task["measures"].get(name, {}).get("total", 0))


def _rejected(task: Mapping[str, Any]) -> str:
    return str(task["measures"].get("worked_seconds", {}).get("rejected", 0))


def _seconds(start: str | None, end: str | None) -> float:
    if not start or not end:
        return 0.0
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
