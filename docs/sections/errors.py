"""Error codes, with the HTTP status they are answered with."""

import inspect
from collections.abc import Mapping

from docs.sections.tables import code
from docs.sections.tables import table as table_of
from kernel import errors
from kernel.errors import SluiceError, error_classes
from triggers.http import status_of

_WHO: Mapping[type[SluiceError], str] = {
    errors.CallerError: "the caller",
    errors.PolicyDenied: "nobody: the policy did its work",
    errors.OperatorError: "the operators",
    errors.ExternalError: "the system's owner",
    errors.Waiting: "nobody: it passes",
    errors.InternalError: "us; the log has the trace",
}


def table() -> str:
    """Every error class of the product, in the order of its tree."""
    rows = (
        (code(kind.code), _meaning(kind), _status(kind), _tried_again(kind), _who(kind)) for kind in classes()
    )
    return table_of(("code", "meaning", "HTTP status", "tried again", "who must act"), rows)


def classes() -> list[type[SluiceError]]:
    """The error classes that clients may meet, without the root."""
    return [
        kind for kind in error_classes() if kind.__module__ == errors.__name__ and kind is not SluiceError
    ]


def _status(kind: type[SluiceError]) -> str:
    return str(status_of(kind("")))


def _tried_again(kind: type[SluiceError]) -> str:
    if not kind.transient:
        return ""
    return "yes" if kind.counted else "yes, uncounted"


def _meaning(kind: type[SluiceError]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _who(kind: type[SluiceError]) -> str:
    return next(_WHO[parent] for parent in kind.__mro__ if parent in _WHO)
