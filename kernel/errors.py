"""Every error the product raises on purpose, grouped by who must act.

SluiceError
├── CallerError                 the person or program that made the request
│   ├── InvalidRequest          malformed or incomplete input
│   ├── InvalidDefinition       a workflow definition with faults
│   ├── Unauthenticated         nobody knows who asks
│   ├── Forbidden               known, and not allowed
│   ├── NotFound
│   ├── MethodNotAllowed
│   ├── Conflict                the thing exists or changed meanwhile
│   ├── TooLarge
│   └── UnsupportedMedia        a body in a form that is not accepted
├── PolicyDenied                the author's own rule said no
├── OperatorError               the people who run the deployment
│   ├── InvalidSettings
│   ├── Unavailable             our database, storage or vault does not answer
│   ├── TotalsNotProved         the books of a run do not balance
│   ├── ChunksFailed            more chunks of a dispatch failed than are tolerated
│   ├── ChildFailed             a nested run did not end well
│   ├── TimedOut                a step or run took longer than it may
│   ├── Lost                    a run's execution disappeared more often than it may
│   └── Poison                  a segment kept killing its worker
├── ExternalError               a connected system
│   ├── Transient               worth trying again (`retry_after` seconds, if the system said so)
│   │   ├── RateLimited
│   │   └── SystemUnavailable   not reachable, or its circuit is open
│   ├── AuthenticationFailed
│   ├── AccessForbidden
│   ├── ExternalNotFound
│   ├── InvalidData             records the system or its format cannot accept, with places
│   ├── ExternalConflict        same key, other content
│   └── InDoubt                 sent, but no usable answer
├── Waiting                     nobody: it passes by itself, and waiting for it is no attempt that failed
│   ├── Busy                    every slot of a connector's gate is taken
│   └── Settling                what others have begun with the same records is not over
└── InternalError               ourselves

Codes are stable: clients may rely on them. Messages name what happened and what to do; they never carry
record values or credentials. Values belong in `Fault.value`, which redaction removes for sensitive fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, with its place and remedy.

    `path` is a JSON pointer or dotted path; `line` counts from 1 in the source text or file; `field` is the
    column or property concerned; `value` is the offending value and may be sensitive.
    """

    code: str
    message: str
    path: str = ""
    line: int | None = None
    field: str | None = None
    value: str | None = None
    hint: str = ""
    severity: str = "error"

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON-ready data; empty parts are left out."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: part for name, part in parts.items() if part not in (None, "")}

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else (f"{self.path}: " if self.path else "")
        value = f" (found {self.value!r})" if self.value is not None else ""
        return f"{place}{self.message}{value}{' ' + self.hint if self.hint else ''}"


class SluiceError(Exception):
    """Root of the tree. `faults` lists single causes; all of them, not only the first.

    `transient` errors are worth trying again; those that are not `counted` use up no attempt of a step.
    """

    code: ClassVar[str] = "error"
    transient: ClassVar[bool] = False
    counted: ClassVar[bool] = True

    def __init__(
        self, message: str, *, faults: Sequence[Fault] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)
        self.retry_after = retry_after

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form that `from_dict` rebuilds in another process."""
        return {
            "code": self.code,
            "message": self.message,
            "faults": [fault.to_dict() for fault in self.faults],
            "retry_after": self.retry_after,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SluiceError":
        """Rebuild the error of `to_dict`, of the class its code names (`InternalError` for unknown codes)."""
        kind = {error.code: error for error in error_classes()}.get(data["code"], InternalError)
        faults = [Fault(**fault) for fault in data["faults"]]
        return kind(data["message"], faults=faults, retry_after=data.get("retry_after"))

    def with_faults(self, faults: Sequence[Fault]) -> Self:
        """The same error with other faults (redacted ones, for example)."""
        return type(self)(self.message, faults=faults, retry_after=self.retry_after)

    def __str__(self) -> str:
        return " ".join([self.message, *(str(fault) for fault in self.faults[:3])])

    def __reduce__(self) -> tuple[Any, ...]:
        return SluiceError.from_dict, (self.to_dict(),)


def error_classes(root: type[SluiceError] = SluiceError) -> Iterator[type[SluiceError]]:
    """The root and all its subclasses."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


class CallerError(SluiceError):
    """The request cannot be done as it was made."""

    code = "bad_request"


class InvalidRequest(CallerError):
    """Malformed or incomplete input."""

    code = "invalid_request"


class InvalidDefinition(CallerError):
    """A workflow definition with faults; `faults` has all of them."""

    code = "invalid_definition"


class Unauthenticated(CallerError):
    """It is not known who asks."""

    code = "unauthenticated"


class Forbidden(CallerError):
    """Whoever asks may not do this."""

    code = "forbidden"


class NotFound(CallerError):
    """No such thing."""

    code = "not_found"


class MethodNotAllowed(CallerError):
    """The address exists, but not for this method."""

    code = "method_not_allowed"

    def __init__(
        self,
        message: str,
        *,
        allowed: Sequence[str] = (),
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, faults=faults, retry_after=retry_after)
        self.allowed = tuple(allowed)


class Conflict(CallerError):
    """It exists already, is in another state, or was changed meanwhile."""

    code = "conflict"


class TooLarge(CallerError):
    """More bytes than the deployment accepts."""

    code = "too_large"


class UnsupportedMedia(CallerError):
    """A body in a form that is not accepted."""

    code = "unsupported_media"


class PolicyDenied(SluiceError):
    """A govern rule said no."""

    code = "policy_denied"


class ApprovalRejected(PolicyDenied):
    """People were asked and said no, or nothing in time."""

    code = "approval_rejected"


class ApprovalExpired(PolicyDenied):
    """People were asked and nobody decided in time."""

    code = "approval_expired"


class OperatorError(SluiceError):
    """Something the people who run the deployment must put right."""

    code = "operator"


class InvalidSettings(OperatorError):
    """Missing or wrong settings; `faults` has all of them."""

    code = "invalid_settings"


class Unavailable(OperatorError):
    """Our own database, storage or vault does not answer."""

    code = "unavailable"
    transient = True


class TotalsNotProved(OperatorError):
    """The control totals of a run do not balance."""

    code = "totals_not_proved"


class ChunksFailed(OperatorError):
    """More chunks of a dispatch failed than its definition tolerates."""

    code = "chunks_failed"


class ChildFailed(OperatorError):
    """A nested run did not end well."""

    code = "child_failed"


class TimedOut(OperatorError):
    """A step or a run took longer than its definition allows."""

    code = "timed_out"


class Lost(OperatorError):
    """The execution of a run disappeared, and again after every recovery that is allowed."""

    code = "lost"


class Poison(OperatorError):
    """A segment killed its worker every time it began."""

    code = "poison"


class ExternalError(SluiceError):
    """A connected system refused or failed."""

    code = "external"


class Transient(ExternalError):
    """Worth trying again."""

    code = "transient"
    transient = True


class RateLimited(Transient):
    """Too many calls; `retry_after` says when to come back."""

    code = "rate_limited"


class SystemUnavailable(Transient):
    """Not reachable, or its circuit is open."""

    code = "system_unavailable"


class AuthenticationFailed(ExternalError):
    """The system does not accept the connector's credentials."""

    code = "authentication_failed"


class AccessForbidden(ExternalError):
    """The credentials are right, the permission is missing."""

    code = "access_forbidden"


class ExternalNotFound(ExternalError):
    """The system has no such object."""

    code = "external_not_found"


class InvalidData(ExternalError):
    """Records that the system or its format cannot accept; `faults` names them."""

    code = "invalid_data"


class ExternalConflict(ExternalError):
    """The system holds the same key with other content."""

    code = "external_conflict"


class InDoubt(ExternalError):
    """Sent, but no usable answer: never sent again blindly."""

    code = "in_doubt"


class Waiting(SluiceError):
    """Nothing is wrong, something has to pass first. `retry_after` is the shortest wait that makes sense."""

    code = "waiting"
    transient = True
    counted = False


class Busy(Waiting):
    """As many calls as the connector's `concurrency` allows are under way."""

    code = "busy"


class Settling(Waiting):
    """Calls with the same records may still take effect, or another run posts them at this moment."""

    code = "settling"


class InternalError(SluiceError):
    """A fault of ours."""

    code = "internal"
