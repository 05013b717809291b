"""Every error of the storage client has a meaning."""

import inspect
from dataclasses import dataclass, field

import pytest
from azure.core import exceptions as azure

from adapters.datasource.files.blobs import mapped
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    RateLimited,
    SystemUnavailable,
    Transient,
)

CLIENT_ERRORS = [
    kind for kind in vars(azure).values() if inspect.isclass(kind) and issubclass(kind, azure.AzureError)
]


@dataclass
class Response:
    """As much of an HTTP response as errors look at."""

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""


def answered(status: int, **headers: str) -> azure.AzureError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return azure.HttpResponseError("canary", response=Response(status, named))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_becomes_one_of_ours(kind: type[azure.AzureError]) -> None:
    # Some constructors want a whole response; what they would add is not looked at.
    found = mapped(kind.__new__(kind, "canary"), "container 'files'")
    assert isinstance(found, ExternalError)
    assert found.message.startswith("The container 'files' ")
    assert "canary" not in found.message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (azure.ServiceRequestError("x"), SystemUnavailable),
        (azure.ServiceRequestTimeoutError("x"), SystemUnavailable),
        (azure.ServiceResponseError("x"), SystemUnavailable),
        (azure.IncompleteReadError("x"), SystemUnavailable),
        (azure.ClientAuthenticationError("x"), AuthenticationFailed),
        (answered(403), AccessForbidden),
        (answered(404), ExternalNotFound),
        (answered(408), SystemUnavailable),
        (answered(412), Transient),
        (answered(429), RateLimited),
        (answered(500), SystemUnavailable),
        (answered(503), RateLimited),
        (answered(409), ExternalError),
    ],
)
def test_meanings(error: azure.AzureError, expected: type[ExternalError]) -> None:
    assert type(mapped(error, "container 'files'")) is expected


def test_the_service_may_say_when_to_come_back() -> None:
    assert mapped(answered(503, Retry_After="7"), "x").retry_after == 7
    assert mapped(answered(503, Retry_After="soon"), "x").retry_after is None
    assert mapped(answered(503), "x").retry_after is None
