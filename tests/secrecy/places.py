"""Everything that was written, place by place, and where canaries are found in it."""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from azure.storage.blob import BlobServiceClient
from psycopg import sql

from tests.secrecy.canaries import Canary


@dataclass(frozen=True)
class Place:
    """Something that was written: where, and what."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Found:
    """A canary in a place."""

    canary: str
    place: str


def found_in(places: Sequence[Place], canaries: Sequence[Canary]) -> set[Found]:
    """Which canaries are where."""
    found = set()
    for place in places:
        for data in _readings(place.data):
            found |= {Found(canary.name, place.name) for canary in canaries if canary.is_in(data)}
    return found


def _readings(data: bytes) -> Iterator[bytes]:
    """The bytes, and what they hold if they are compressed."""
    yield data
    for unpack in (zlib.decompress, gzip.decompress):
        with suppress(zlib.error, OSError, EOFError):
            yield unpack(data)


def database_places(url: str, label: str) -> Iterator[Place]:
    """Every column of every table of every schema."""
    tables = (
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        " ORDER BY 1, 2, ordinal_position"
    )
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for schema, table, column in connection.execute(tables).fetchall():
            query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(schema, table))
            for (value,) in connection.execute(query).fetchall():
                if value is not None:
                    yield Place(f"{label}: {schema}.{table}.{column}", _bytes(value))


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, default=str).encode()


def blob_places(storage: str) -> Iterator[Place]:
    """Every blob of every container: its name with its metadata, and its content."""
    with BlobServiceClient.from_connection_string(storage) as service:
        for container in service.list_containers():
            client = service.get_container_client(container.name)
            for blob in client.list_blobs(include=["metadata"]):
                name = f"blob: {container.name}/{blob.name}"
                yield Place(f"{name} (name)", f"{blob.name} {blob.metadata}".encode())
                yield Place(name, client.download_blob(blob.name).readall())


def file_places(folder: Path, label: str) -> Iterator[Place]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield Place(f"{label}: {path.relative_to(folder)}", path.read_bytes())
