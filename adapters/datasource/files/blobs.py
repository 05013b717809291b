"""Azure Blob Storage behind the files adapter: one container, its errors mapped to ours."""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    IncompleteReadError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import BlobServiceClient, ContainerClient, LinearRetry

from adapters.datasource.files.parameters import FilesSettings
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    Fault,
    InvalidData,
    RateLimited,
    SystemUnavailable,
    Transient,
)
from kernel.secrets import Secret

_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_NAMES_LISTED = 200

_AWAY = "does not answer; check that the account's address is right and reachable"
_BY_TYPE: dict[type[AzureError], tuple[type[ExternalError], str]] = {
    ServiceRequestError: (SystemUnavailable, _AWAY),
    ServiceResponseError: (SystemUnavailable, _AWAY),
    IncompleteReadError: (SystemUnavailable, "broke off in the middle of the file; it is read again"),
    # Status 401 as well as 403: the library tells a wrong key from a missing permission by the error code.
    ClientAuthenticationError: (
        AuthenticationFailed,
        "does not accept the connector's credentials; renew the secret",
    ),
}

# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_BY_STATUS: dict[int, tuple[type[ExternalError], str]] = {
    403: (AccessForbidden, "refuses access; check credentials, role (Storage Blob Data Reader) and firewall"),
    404: (ExternalNotFound, "has no such object; check the connector's container"),
    408: (SystemUnavailable, "took too long to answer; it is tried again"),
    412: (Transient, "says that the file changed while it was read; it is read again"),
    429: (RateLimited, "is asked too often; it is tried again later"),
    500: (SystemUnavailable, "failed inside; it is tried again"),
    503: (RateLimited, "is busy; it is tried again later"),
}


class Container:
    """A blob container. `close()` releases its connections."""

    def __init__(self, client: ContainerClient, service: BlobServiceClient) -> None:
        self._client = client
        self._service = service

    @classmethod
    def connect(cls, settings: FilesSettings, connection: Secret | None) -> "Container":
        """The container of these settings; nothing is sent yet.

        Raises `AuthenticationFailed` when the connection string is malformed.
        """
        service = _service(settings, connection)
        return cls(service.get_container_client(settings.container), service)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"container {self._client.container_name!r} of storage account {self._client.account_name!r}"

    def download(self, path: str, max_bytes: int) -> bytes:
        """The blob's bytes; its size is checked before anything is downloaded."""
        with self._mapped_errors():
            blob = self._client.get_blob_client(path)
            try:
                properties = blob.get_blob_properties()
            except ResourceNotFoundError as exc:
                raise self._missing(path) from exc
            if properties.size > max_bytes:
                raise _too_large(path, properties.size, max_bytes)
            return blob.download_blob(
                etag=properties.etag, match_condition=MatchConditions.IfNotModified
            ).readall()

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Names that begin with `prefix`, in the order of their characters, with their sizes in bytes."""
        with self._mapped_errors():
            for blob in self._client.list_blobs(name_starts_with=prefix or None):
                yield str(blob.name), int(blob.size)

    def touch(self) -> None:
        """Prove that the container is there and may be listed."""
        with self._mapped_errors():
            next(iter(self._client.list_blob_names(results_per_page=1)), None)

    def close(self) -> None:
        """Release the connections."""
        self._service.close()

    def _missing(self, path: str) -> ExternalNotFound:
        folder = posixpath.dirname(path)
        listing = self._client.list_blob_names(name_starts_with=f"{folder}/" if folder else None)
        names = [name for name, _ in zip(listing, range(_NAMES_LISTED), strict=False)]
        near = get_close_matches(path, names, n=3)
        advice = (
            f"Did you mean {' or '.join(map(repr, near))}?" if near else "Upload it, or correct the path."
        )
        return ExternalNotFound(f"There is no file {path!r} in {self.place}. {advice}")

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except AzureError as exc:
            raise mapped(exc, self.place) from exc


def mapped(exc: AzureError, place: str) -> ExternalError:
    """The error of ours for one of the client library's."""
    kind, sentence = _meaning(exc)
    return kind(f"The {place} {sentence}.", retry_after=_retry_after(exc))


def _meaning(exc: AzureError) -> tuple[type[ExternalError], str]:
    by_type = next((found for kind, found in _BY_TYPE.items() if isinstance(exc, kind)), None)
    if by_type:
        return by_type
    status = getattr(exc, "status_code", None)
    return _BY_STATUS.get(status or 0, (ExternalError, f"refused the request (status {status})"))


def _retry_after(exc: AzureError) -> float | None:
    headers = getattr(getattr(exc, "response", None), "headers", {})
    seconds = str(headers.get("Retry-After", ""))
    return float(seconds) if seconds.isdecimal() else None


def _too_large(path: str, size: int, limit: int) -> InvalidData:
    fault = Fault(
        code="too_large",
        message=f"The file has {size:,} bytes; the limit is {limit:,}.",
        hint="Split it, or raise the parameter max_bytes.",
    )
    return InvalidData(f"File {path!r} is too large to read.", faults=[fault])


def _service(settings: FilesSettings, connection: Secret | None) -> BlobServiceClient:
    # By default the library waits over a minute before it says that nobody answers. Longer waits than a
    # moment belong to the engine, which sleeps for free.
    options: dict[str, Any] = {
        "retry_policy": LinearRetry(backoff=1, retry_total=1, random_jitter_range=0),
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
    }
    if connection is None:
        from azure.identity import DefaultAzureCredential

        credential = DefaultAzureCredential(managed_identity_client_id=settings.client_id)
        return BlobServiceClient(str(settings.account_url), credential=credential, **options)
    try:
        return BlobServiceClient.from_connection_string(connection.reveal(), **options)
    except ValueError as exc:
        raise AuthenticationFailed(
            "The secret 'connection' is not an Azure Storage connection string. Copy it anew from the portal."
        ) from exc
