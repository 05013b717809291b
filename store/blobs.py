"""Blob Storage: uploads, and sealed context that lives no longer than its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.secrets import Secret

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

FILES = "files"
CONTEXT = "context"
CONTAINERS = (FILES, CONTEXT, "artifacts", "evidence")


class Blobs:
    """The deployment's storage account. Clients are made on first use: their import costs start-up time."""

    def __init__(self, connection: Secret) -> None:
        self._connection = connection
        self._client: BlobServiceClient | None = None

    def ensure_containers(self) -> None:
        """Create the containers that are missing."""
        from azure.core.exceptions import ResourceExistsError

        with self._mapped("containers"):
            for name in CONTAINERS:
                try:
                    self._service().create_container(name)
                except ResourceExistsError:
                    continue

    def write(self, container: str, name: str, data: bytes, *, overwrite: bool = False) -> None:
        """Store a blob; `Conflict` when it is there and may not be overwritten."""
        from azure.core.exceptions import ResourceExistsError

        with self._mapped(name):
            try:
                self._upload(container, name, data, overwrite=overwrite)
            except ResourceExistsError as exc:
                raise Conflict(f"The file {name!r} exists; choose another name or overwrite it.") from exc

    def read(self, container: str, name: str) -> bytes:
        """A blob's bytes; `NotFound` when there is none."""
        with self._mapped(name):
            return bytes(self._blob(container, name).download_blob().readall())

    def names(self, container: str) -> Iterator[str]:
        """Names of all blobs, as they are listed; none when there is no such container yet."""
        with self._mapped(container):
            client = self._service().get_container_client(container)
            if client.exists():
                yield from client.list_blob_names()

    def delete_prefix(self, container: str, prefix: str) -> int:
        """Delete every blob whose name starts with `prefix`; returns how many."""
        from azure.core.exceptions import ResourceNotFoundError

        deleted = 0
        with self._mapped(prefix):
            client = self._service().get_container_client(container)
            for name in list(client.list_blob_names(name_starts_with=prefix)):
                try:
                    client.delete_blob(name)
                    deleted += 1
                except ResourceNotFoundError:
                    continue
        return deleted

    def ping(self) -> None:
        """Raise `Unavailable` unless the account answers."""
        with self._mapped(FILES):
            next(iter(self._service().list_containers(results_per_page=1)), None)

    def _upload(self, container: str, name: str, data: bytes, *, overwrite: bool) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            self._blob(container, name).upload_blob(data, overwrite=overwrite)
        except ResourceNotFoundError:  # a new storage account: nothing but a missing container gives this
            self.ensure_containers()
            self._blob(container, name).upload_blob(data, overwrite=overwrite)

    def _blob(self, container: str, name: str) -> Any:
        return self._service().get_blob_client(container, name)

    def _service(self) -> BlobServiceClient:
        if self._client is None:
            from azure.storage.blob import BlobServiceClient, LinearRetry

            # By default the library waits over a minute before it says that nobody answers: too long for
            # callers of the API, and activities are repeated by durable timers anyway.
            retries = LinearRetry(backoff=1, retry_total=2, random_jitter_range=1)
            self._client = BlobServiceClient.from_connection_string(
                self._connection.reveal(), connection_timeout=5, read_timeout=60, retry_policy=retries
            )
        return self._client

    @contextmanager
    def _mapped(self, name: str) -> Iterator[None]:
        from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

        try:
            yield
        except ResourceNotFoundError as exc:
            raise NotFound(f"There is no file {name!r}.") from exc
        except HttpResponseError as exc:
            raise Unavailable(f"Blob Storage refused {name!r} with status {exc.status_code}.") from exc
        except AzureError as exc:
            raise Unavailable(
                "Blob Storage does not answer; check the account and the setting AzureWebJobsStorage."
            ) from exc
