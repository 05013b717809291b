"""What an answer means that is not a success: status by status, in terms of the product's errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from adapters.datasource.rest.places import given_at
from adapters.datasource.rest.scrubbing import plain_text
from adapters.datasource.rest.settings import ErrorPlaces
from adapters.datasource.rest.transport import Answer
from adapters.retry_after import retry_after
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalConflict,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    RateLimited,
    SystemUnavailable,
    Transient,
)

REFUSALS = frozenset({400, 413, 422})
"""Statuses of a write that say: nothing was written, and it is for what was sent."""

CONFLICTS = frozenset({409, 412})
"""The system has something under the same key, or works on it at this moment."""

_UNKNOWN_OUTCOMES = frozenset({301, 302, 303, *range(500, 600)}) - {503}
"""Statuses that also come when a write was carried out: from a page after it, a crash, or a gateway."""

type _Meaning = tuple[type[ExternalError], str]

_BY_STATUS: Mapping[int, _Meaning] = MappingProxyType(
    {
        400: (InvalidData, "It does not accept what was sent."),
        401: (AuthenticationFailed, "It does not accept the connector's credentials; store them again."),
        403: (AccessForbidden, "The credentials lack a permission; ask the system's owner for it."),
        404: (ExternalNotFound, "There is nothing at this address; check base_url and the operation."),
        408: (Transient, "It waited too long for the request."),
        409: (ExternalConflict, "It holds something else under the same identity."),
        410: (ExternalNotFound, "What was at this address is gone."),
        412: (ExternalConflict, "It holds something else under the same identity."),
        413: (InvalidData, "It does not accept this much at once."),
        422: (InvalidData, "It does not accept what was sent."),
        429: (RateLimited, "It has had too many requests."),
        500: (Transient, "It failed."),
        502: (SystemUnavailable, "A gateway before it does not reach it."),
        503: (SystemUnavailable, "It does not serve requests at this moment."),
        504: (SystemUnavailable, "A gateway before it waited too long."),
    }
)
_REDIRECT: _Meaning = (
    ExternalError,
    "It points elsewhere, which is not followed; correct base_url or the path.",
)
_OTHER: _Meaning = (ExternalError, "Such an answer has no meaning here.")
_PASSES: _Meaning = (Transient, "It asks to try again.")
_BUSY: _Meaning = (RateLimited, "It asks to come back later.")


@dataclass(frozen=True)
class Complaint:
    """What an answer's body says about a failure. `text` is the system's own and not yet scrubbed."""

    text: str
    transient: bool = False


def complaint(places: ErrorPlaces | None, data: Any) -> Complaint | None:
    """The failure that the body of a successful answer tells of; `None` if it tells of none."""
    if places is None:
        return None
    sign = given_at(data, places.message if places.code is None else places.code)
    if sign is None or (places.code is not None and plain_text(sign) in places.fine):
        return None
    return explanation(places, data)


def explanation(places: ErrorPlaces | None, data: Any) -> Complaint:
    """What the body of an answer says about its failure."""
    if places is None:
        return Complaint("")
    code = plain_text(given_at(data, places.code)) if places.code is not None else ""
    return Complaint(plain_text(given_at(data, places.message)), code in places.transient)


def failure(answer: Answer, what: str, detail: str, *, writes: bool, passes: bool = False) -> ExternalError:
    """The error for an answer whose status is no success.

    `what` says which request it was; `detail` is what the system said about it, fit to be shown; with
    `passes` it also said that the failure is transient.
    """
    wait = retry_after(answer.headers)
    told = f" It says: {detail.rstrip('.')}." if detail else ""
    answered = f"{what} was answered with status {answer.status}{_phrase(answer.status)}."
    if writes and answer.status in _UNKNOWN_OUTCOMES:
        return InDoubt(
            f"{answered} Whether the system acted on it is unknown; look the records up there.{told}",
            retry_after=wait,
        )
    kind, sentence = _PASSES if passes else _meaning(answer.status, wait)
    return kind(f"{answered} {sentence}{told}", retry_after=wait)


def _meaning(status: int, wait: float | None) -> _Meaning:
    if status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None:
        return _BUSY
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return _BY_STATUS[500]
    return _REDIRECT if 300 <= status < 400 else _OTHER


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""
