"""How much memory and processor time processes have needed."""

import re
from collections.abc import Sequence
from pathlib import Path

import psutil

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_MEGABYTE = 1 << 20


def peak_megabytes(processes: Sequence[int]) -> float:
    """Resident memory of these processes together: the most each ever had, or what it has where only that is
    known."""
    return sum(_peak(process) for process in processes)


def cpu_seconds(processes: Sequence[int]) -> float:
    """Processor time of these processes together, since each began."""
    times = [psutil.Process(process).cpu_times() for process in processes]
    return float(sum(time.user + time.system for time in times))


def _peak(process: int) -> float:
    try:
        found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) / 1024
    return float(psutil.Process(process).memory_info().rss) / _MEGABYTE
