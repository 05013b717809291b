"""Faults of the ERP server, and which request they befall."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What goes wrong. "Accepted" means that the request was carried out first."""

    SLOW = "slow"
    """Accepted; the answer comes `seconds` later."""
    LATE = "late"
    """Accepted `seconds` later, even if the client is gone by then."""
    NEVER = "never"
    """No answer, the connection stays open. Accepted if `accepted`."""
    RESET_BEFORE = "reset_before"
    """The connection is reset before the request is looked at."""
    RESET_AFTER = "reset_after"
    """Accepted, then the connection is reset."""
    BUSY = "busy"
    """Refused with `status` and `retry`."""
    FAILED = "failed"
    """Status `status`. Accepted if `accepted`."""
    ERROR_BODY = "error_body"
    """Refused with status 200 and an error in the body."""
    DUPLICATED = "duplicated"
    """Carried out twice, as if the network had delivered it twice; answered once."""
    ECHO = "echo"
    """Refused with status 422 and an error text that repeats the credentials."""
    WRONG_TYPE = "wrong_type"
    """Accepted; the answer is a web page."""
    TRUNCATED = "truncated"
    """Accepted; the answer is the first half of its JSON."""


class RetryForm(StrEnum):
    """How a `BUSY` answer says when to come back."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"
    MILLISECONDS = "milliseconds"
    RESET = "reset"
    PAST = "past"
    NONSENSE = "nonsense"
    HUGE = "huge"


@dataclass(frozen=True)
class Fault:
    """A fault of one resource and HTTP method (`*`: any), for the next `times` requests or, with
    `probability`, by chance."""

    kind: FaultKind
    resource: str = "*"
    method: str = "*"
    times: int = 1
    probability: float | None = None
    seed: int = 0
    seconds: float = 0.2
    status: int = 500
    retry: RetryForm = RetryForm.NONE
    accepted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Fault":
        """The fault of `to_dict`."""
        return cls(**{**data, "kind": FaultKind(data["kind"]), "retry": RetryForm(data.get("retry", "none"))})


@dataclass
class Faults:
    """The faults that are switched on; `taken` counts those that struck."""

    taken: int = 0
    _active: list[tuple[Fault, random.Random, list[int]]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Switch a fault on. Those added first strike first."""
        self._active.append((fault, random.Random(fault.seed), [fault.times]))  # noqa: S311

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def take(self, resource: str, method: str) -> Fault | None:
        """The fault that befalls a request, if any."""
        found = next(self._striking(resource, method), None)
        self.taken += found is not None
        return found

    def _striking(self, resource: str, method: str) -> Iterator[Fault]:
        for fault, chance, left in self._active:
            if fault.resource not in ("*", resource) or fault.method not in ("*", method):
                continue
            if fault.probability is not None:
                if chance.random() < fault.probability:
                    yield fault
            elif left[0] > 0:
                left[0] -= 1
                yield fault
