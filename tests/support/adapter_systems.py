"""Real systems behind the adapters under test: a blob container and an ERP database."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from azure.storage.blob import BlobServiceClient, ContainerClient
from sqlalchemy import make_url

from adapters.contract import Adapter, Connector
from adapters.registry import get_adapter
from localhost.services.stack import Endpoints, Stack
from tests.support.adapters import Vault
from tests.support.services import fresh_database

SANDBOX = "sandbox"

_TABLES = """
    CREATE TABLE project (code text PRIMARY KEY, name text NOT NULL);
    INSERT INTO project VALUES ('A', 'Harbour wall'), ('B', 'Depot');
    CREATE TABLE job_line (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        posting_key text NOT NULL UNIQUE,
        project text NOT NULL REFERENCES project DEFERRABLE INITIALLY DEFERRED,
        work_date date NOT NULL,
        amount numeric(10, 2) NOT NULL CONSTRAINT amount_not_negative CHECK (amount >= 0),
        hours numeric,
        quantity integer,
        billable boolean,
        started timestamptz,
        started_text text,
        note varchar(12)
    );
    CREATE TABLE "Mixed Case" ("Key" text UNIQUE, "Select" text);
"""

JOB_LINES: Mapping[str, Any] = {
    "push": "job_line",
    "columns": {
        "project": "text",
        "work_date": "date",
        "amount": "decimal(18,4)",
        "hours": "decimal",
        "quantity": "integer",
        "billable": "boolean",
        "started": "timestamp",
        "started_text": "timestamp_text",
        "note": "text",
    },
    "key_column": "posting_key",
    "id_column": "id",
}


def closed_port() -> int:
    """A port on the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Share:
    """A blob container with the adapter over it."""

    client: ContainerClient
    vault: Vault

    def upload(self, path: str, data: bytes | str) -> None:
        """Put a file there."""
        self.client.upload_blob(path, data, overwrite=True)

    def connector(self, **settings: Any) -> Connector:
        """A connector for the container."""
        name = self.client.container_name
        return Connector("inbox", "files", {"container": name, **settings}, {"connection": "storage"})

    def adapter(self, **settings: Any) -> Adapter:
        """An adapter of such a connector."""
        return get_adapter(self.connector(**settings), SANDBOX, self.vault)


@contextmanager
def share(endpoints: Endpoints) -> Iterator[Share]:
    """An empty container, deleted at the end."""
    connection = endpoints.storage_connection_string
    with BlobServiceClient.from_connection_string(connection) as service:
        client = service.create_container(f"test-{uuid4().hex[:12]}")
        try:
            yield Share(client, Vault({"storage": connection}))
        finally:
            client.delete_container()


@dataclass(frozen=True)
class Erp:
    """A PostgreSQL database with the tables of an ERP, and the adapter over it."""

    settings: Mapping[str, Any]
    vault: Vault

    def connector(self, operations: Mapping[str, Any] | None = None, **changes: Any) -> Connector:
        """A connector; by default its one operation is the push `lines`."""
        settings = {**self.settings, "operations": operations or {"lines": JOB_LINES}, **changes}
        return Connector("erp", "sql", settings, {"password": "erp-password"})

    def adapter(self, operations: Mapping[str, Any] | None = None, **changes: Any) -> Adapter:
        """An adapter of such a connector."""
        return get_adapter(self.connector(operations, **changes), SANDBOX, self.vault)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, past the adapter."""
        with psycopg.connect(
            host=self.settings["host"],
            port=self.settings["port"],
            dbname=self.settings["database"],
            user=self.settings["user"],
            password=self.vault.secret("erp-password").reveal(),
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def erp(stack: Stack) -> Iterator[Erp]:
    """A new database with the tables, dropped at the end."""
    with fresh_database(stack) as database:
        url = make_url(database.owner_url)
        settings = {
            "dialect": "postgresql",
            "host": url.host,
            "port": url.port,
            "database": url.database,
            "user": url.username,
            "connect_timeout": 5,
        }
        system = Erp(settings, Vault({"erp-password": url.password or ""}))
        system.run(_TABLES)
        yield system
