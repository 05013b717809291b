"""What statuses and bodies mean."""

from typing import Any

import pytest

from adapters.datasource.rest.failures import Complaint, complaint, failure
from adapters.datasource.rest.settings import ErrorPlaces
from adapters.datasource.rest.transport import Answer
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

READS: dict[int, type[ExternalError]] = {
    301: ExternalError,
    304: ExternalError,
    400: InvalidData,
    401: AuthenticationFailed,
    403: AccessForbidden,
    404: ExternalNotFound,
    408: Transient,
    409: ExternalConflict,
    410: ExternalNotFound,
    412: ExternalConflict,
    418: ExternalError,
    422: InvalidData,
    429: RateLimited,
    500: Transient,
    502: SystemUnavailable,
    503: SystemUnavailable,
    504: SystemUnavailable,
    599: Transient,
}
UNKNOWN_WHEN_WRITTEN = {301, 500, 502, 504, 599}


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, "", {name.replace("_", "-"): value for name, value in headers.items()}, b"")


@pytest.mark.parametrize("status", READS)
def test_a_status_means_the_same_error_unless_a_write_may_have_been_done(status: int) -> None:
    assert type(failure(answer(status), "GET /a", "", writes=False)) is READS[status]
    expected = InDoubt if status in UNKNOWN_WHEN_WRITTEN else READS[status]
    assert type(failure(answer(status), "POST /a", "", writes=True)) is expected


def test_a_system_that_says_when_it_is_back_is_only_busy() -> None:
    busy = failure(answer(503, retry_after="9"), "GET /a", "", writes=True)
    assert (type(busy), busy.retry_after) == (RateLimited, 9)


def test_what_the_system_says_is_told_as_a_sentence() -> None:
    message = failure(answer(422), "POST /a", "The period is closed.", writes=True).message
    assert message.endswith("It does not accept what was sent. It says: The period is closed.")


BY_MESSAGE = ErrorPlaces.model_validate({"message": "error.message"})
BY_CODE = ErrorPlaces.model_validate(
    {"message": "text", "code": "code", "fine": ["0", "OK"], "transient": ["429"]}
)


@pytest.mark.parametrize(
    ("places", "data", "found"),
    [
        (None, {"error": {"message": "no"}}, None),
        (BY_MESSAGE, {"error": {"message": "no", "trace": "canary"}}, Complaint("no")),
        (BY_MESSAGE, {"error": {"message": ""}}, None),
        (BY_MESSAGE, {"error": None}, None),
        (BY_MESSAGE, None, None),
        (BY_MESSAGE, [], None),
        (BY_CODE, {"code": 0, "text": "fine"}, None),
        (BY_CODE, {"code": "OK", "text": "fine"}, None),
        (BY_CODE, {"text": "no code"}, None),
        (BY_CODE, {"code": 7, "text": "no"}, Complaint("no")),
        (BY_CODE, {"code": 429, "text": "busy"}, Complaint("busy", transient=True)),
    ],
)
def test_a_success_may_be_a_failure_by_its_body(
    places: ErrorPlaces | None, data: Any, found: Complaint | None
) -> None:
    assert complaint(places, data) == found
