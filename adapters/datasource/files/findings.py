"""Collecting everything that is wrong with a file, so that it can be put right in one go."""

from collections import Counter
from collections.abc import Sequence

from kernel.errors import Fault, InvalidData

FAULTS_SHOWN = 20


class Findings:
    """The faults of one file: the first `FAULTS_SHOWN` by line, and how many there are in all.

    `what` names the file in messages.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._shown: list[Fault] = []
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many faults were found."""
        return self._counts.total()

    def add(self, fault: Fault) -> None:
        """Note one fault."""
        self._counts[fault.field or "rows"] += 1
        self._shown.append(fault)

    def settle(self) -> None:
        """Forget all but the first faults by line. Call it now and then to bound memory."""
        self._shown = sorted(self._shown, key=lambda fault: fault.line or 0)[:FAULTS_SHOWN]

    def raise_if_any(self) -> None:
        """Raise `InvalidData` if there was a fault."""
        if not self.total:
            return
        self.settle()
        count = "1 fault" if self.total == 1 else f"{self.total} faults"
        places = ", ".join(f"{field} {number}" for field, number in self._counts.most_common())
        listed = f" The first {FAULTS_SHOWN} are listed." if self.total > FAULTS_SHOWN else ""
        raise InvalidData(
            f"{self.what} has {count} ({places}).{listed} Correct the file or the step's parameters.",
            faults=self._shown,
        )


def unreadable(what: str, code: str, message: str, **place: int | str | None) -> InvalidData:
    """The error for a file that cannot be read at all, with its one reason."""
    return unreadable_because(what, [Fault(code=code, message=message, **place)])  # type: ignore[arg-type]


def unreadable_because(what: str, faults: Sequence[Fault]) -> InvalidData:
    """The error for a file that cannot be read at all."""
    return InvalidData(f"{what} cannot be read.", faults=faults)
