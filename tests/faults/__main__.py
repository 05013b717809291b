"""`python -m tests.faults`: the whole suite at length, several times, and what came of it as a table."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from tests.faults.load import Kind
from tests.faults.tally import Tally
from tests.support.services import PROJECT

_COLUMNS = ("faults", "injected", "expected", "found", "held", "refused", "duplicates", "lost", "recovery s")
_KINDS = re.compile(r"(, | / )(native|lookup|none)$")
_SHARED = " / "
"""Runs of several kinds met the same faults, which must not be counted for each of them."""


def main() -> int:
    """Run it and print the table; the exit code is 0 when every test passed every time."""
    options = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    options.add_argument("--times", type=int, default=1, help="how often the whole suite runs (default 1)")
    options.add_argument("--kills", type=int, default=200, help="kills in each of them (default 200)")
    options.add_argument("--outage", type=float, default=30, help="seconds of an outage (default 30)")
    options.add_argument("--by-kind", action="store_true", help="a row for each idempotency class")
    options.add_argument("pytest", nargs="*", help="further arguments go to pytest")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.jsonl"
        report.touch()
        codes = [_run(given, report, number) for number in range(1, given.times + 1)]
        tallies = [Tally(**json.loads(line)) for line in report.read_text().splitlines()]
    print(_table(_added(tallies, by_kind=given.by_kind)))
    print(f"{codes.count(0)} of {len(codes)} runs of the suite passed.")
    return int(any(codes))


def _run(given: argparse.Namespace, report: Path, number: int) -> int:
    print(f"Run {number} of {given.times}", flush=True)
    thorough = ["--kills", str(given.kills), "--outage", str(given.outage), "--fault-report", str(report)]
    command = [sys.executable, "-m", "pytest", "tests/faults", "-q", *thorough, *given.pytest]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


def _added(tallies: Iterable[Tally], *, by_kind: bool) -> list[Tally]:
    """One for each fault, in the order of their first appearance, and their sum."""
    found: dict[str, Tally] = {}
    total = Tally("all", 0)
    for tally in tallies:
        name = tally.fault if by_kind else _KINDS.sub("", tally.fault)
        again = _SHARED in tally.fault and not tally.fault.endswith(Kind.NATIVE)
        once = replace(tally, injected=0, recoveries=[]) if again else tally
        found[name] = found.get(name, Tally(name, 0)) + (tally if by_kind else once)
        total += once
    return [*found.values(), total]


def _table(tallies: Iterable[Tally]) -> str:
    rows = [_COLUMNS, *(_row(tally) for tally in tallies)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _row(tally: Tally) -> tuple[str, ...]:
    numbers = [tally.injected, tally.expected, tally.found, tally.held, tally.refused]
    seconds = f"{fmean(tally.recoveries):.1f}" if tally.recoveries else ""
    return (tally.fault, *map(str, [*numbers, tally.duplicates, tally.lost]), seconds)


if __name__ == "__main__":
    sys.exit(main())
