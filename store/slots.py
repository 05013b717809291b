"""Slots of concurrency gates as rows of the table `gates`: partition = gate, row = number of the slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from kernel.errors import Unavailable
from kernel.secrets import Secret

if TYPE_CHECKING:
    from azure.data.tables import TableClient

TABLE = "gates"


@dataclass(frozen=True)
class SlotRow:
    """A slot that is taken. The lease is so many seconds from `since`, the service's time of the last change;
    `etag` names that change."""

    gate: str
    number: int
    holder: str
    lease: float
    etag: str = ""
    since: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether the lease has run out, `now` by the clock of the service."""
        return self.since is not None and (now - self.since).total_seconds() >= self.lease


@dataclass(frozen=True)
class Look:
    """The rows of a gate, and the time by the clock of the service when they were read."""

    rows: list[SlotRow]
    at: datetime | None


class SlotTable:
    """The table, in the deployment's storage account. The client is made on first use: its import costs
    start-up time. Every method raises `Unavailable` when the service does not answer."""

    def __init__(self, connection: Secret) -> None:
        self._connection = connection
        self._client: TableClient | None = None

    def ensure(self) -> None:
        """Create the table if it is missing."""
        from azure.core.exceptions import ResourceExistsError

        with _mapped():
            try:
                self._table().create_table()
            except ResourceExistsError:
                return

    def look(self, gate: str) -> Look:
        """All rows of a gate; those whose lease is over too."""
        from azure.core.exceptions import ResourceNotFoundError

        dates: list[str] = []
        with _mapped():
            try:
                found = self._table().query_entities(
                    "PartitionKey eq @gate",
                    parameters={"gate": gate},
                    raw_response_hook=lambda answer: dates.append(answer.http_response.headers["Date"]),
                )
                rows = [_row(entity) for entity in found]
            except ResourceNotFoundError:
                return Look([], None)
        return Look(rows, parsedate_to_datetime(dates[0]))

    def insert(self, row: SlotRow) -> SlotRow | None:
        """Take a slot that has no row; `None` when it has one, which may be ours if an answer was lost."""
        from azure.core.exceptions import ResourceExistsError

        with _mapped():
            try:
                return self._inserted(row)
            except ResourceExistsError:
                return None

    def replace(self, row: SlotRow) -> SlotRow | None:
        """Take over or renew a slot whose last change is `row.etag`; `None` when it was changed since."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        unchanged: Any = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified}
        with _mapped():
            try:
                answer = self._table().update_entity(_entity(row), mode=UpdateMode.REPLACE, **unchanged)
            except ResourceModifiedError:
                return self._ours(row)
            except ResourceNotFoundError:
                return self.insert(row)
        return replace(row, etag=answer["etag"])

    def delete(self, row: SlotRow) -> bool:
        """Free the slot; False when it was changed since `row.etag`. One that is gone is free."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError

        unchanged: Any = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified}
        with _mapped():
            try:
                self._table().delete_entity(row.gate, _key(row), **unchanged)
            except ResourceModifiedError:
                return False
        return True

    def _inserted(self, row: SlotRow) -> SlotRow:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            answer = self._create(row)
        except ResourceNotFoundError:  # a new storage account: nothing but a missing table gives this
            self.ensure()
            answer = self._create(row)
        return replace(row, etag=answer["etag"])

    def _create(self, row: SlotRow) -> Mapping[str, Any]:
        # Repeated also when no answer came: whether the row that is there then is ours, its holder tells.
        return self._table().create_entity(_entity(row), retry_on_methods=["POST"])

    def _ours(self, row: SlotRow) -> SlotRow | None:
        """The row, if it was we who changed it: the answer to an earlier try may have been lost."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            found = _row(self._table().get_entity(row.gate, _key(row)))
        except ResourceNotFoundError:
            return None
        return found if found.holder == row.holder else None

    def _table(self) -> TableClient:
        if self._client is None:
            from azure.data.tables import TableClient

            # As for blobs: say soon that nobody answers, because activities are repeated by durable timers.
            self._client = TableClient.from_connection_string(
                self._connection.reveal(), TABLE, connection_timeout=5, read_timeout=20,
                retry_total=2, retry_backoff_factor=0.5,
            )  # fmt: skip
        return self._client


@contextmanager
def _mapped() -> Iterator[None]:
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except HttpResponseError as exc:
        raise Unavailable(
            f"Table Storage refused the table {TABLE!r} with status {exc.status_code}."
        ) from exc
    except AzureError as exc:
        raise Unavailable(
            "Table Storage does not answer; check the account and the setting AzureWebJobsStorage."
        ) from exc


def _key(row: SlotRow) -> str:
    return f"{row.number:04}"


def _entity(row: SlotRow) -> dict[str, Any]:
    return {"PartitionKey": row.gate, "RowKey": _key(row), "holder": row.holder, "lease": row.lease}


def _row(entity: Any) -> SlotRow:
    said = entity.metadata
    number, lease = int(entity["RowKey"]), float(entity["lease"])
    return SlotRow(entity["PartitionKey"], number, entity["holder"], lease, said["etag"], said["timestamp"])
