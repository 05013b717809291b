"""Real PostgreSQL and Azurite for tests, in a folder that goes away with the test session."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from uuid import uuid4

from psycopg import sql

from kernel.errors import Unavailable
from localhost.services import databases
from localhost.services.filelock import locked
from localhost.services.stack import Stack

PROJECT = Path(__file__).resolve().parents[2]
_PREFIX = "sluice-test-"
_NEW_SECONDS = 60  # a session that has just made its folder may not have locked it yet
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it gets a random name
_MEMORY_WANTED = 2 * 1024**3
_FOR_POWER_FAILURES = ("fsync", "full_page_writes")


@dataclass(frozen=True)
class Database:
    """An empty database: the owner may create tables, the application role may only connect."""

    name: str
    owner_url: str = field(repr=False)
    app_url: str = field(repr=False)


@contextmanager
def session_stack() -> Iterator[Stack]:
    """A running stack with new data; stopped and removed at the end.

    Its data survive the death of any process but not of the machine, which would cost much time for no use.
    """
    _remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place_for_data()))
    # PostgreSQL may run as another account, which has to pass through this folder.
    folder.chmod(0o755)
    with locked(folder / "session.lock", lambda: None):
        stack = Stack(PROJECT, folder)
        try:
            stack.start()
            _trust_the_machine(stack)
            yield stack
        finally:
            stack.stop()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(stack: Stack, *, template: str = "template1") -> Iterator[Database]:
    """A new copy of the template database, dropped at the end. Nobody may be connected to the template."""
    name = f"test_{uuid4().hex[:12]}"
    with stack.postgres.connect() as connection:
        databases.create_database(
            connection, name, owner=databases.OWNER, visitors=(databases.APP,), template=template
        )
    try:
        postgres = stack.postgres
        yield Database(name, postgres.url(name, databases.OWNER), postgres.url(name, databases.APP))
    finally:
        with stack.postgres.connect() as connection:
            databases.drop_database(connection, name)


def install_services(progress: Callable[[str], None]) -> None:
    """Download what the stack needs, before any test's time limit runs."""
    Stack(PROJECT).install(progress)


def place_for_data() -> Path:
    """Memory, if there is enough: a database is 500 files, and disks are slow to make and remove those."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_WANTED:
        return _MEMORY
    return Path(tempfile.gettempdir())


def _trust_the_machine(stack: Stack) -> None:
    with stack.postgres.connect() as connection:
        for setting in _FOR_POWER_FAILURES:
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def _remove_abandoned() -> None:
    """End what sessions that were killed have left: nobody holds their lock any more."""
    places = (_MEMORY, Path(tempfile.gettempdir()))
    for folder in chain.from_iterable(place.glob(f"{_PREFIX}*") for place in places):
        try:
            if time.time() - folder.stat().st_mtime < _NEW_SECONDS:
                continue
            with locked(folder / "session.lock", lambda: None, within=0):
                Stack(PROJECT, folder).end()
        except (Unavailable, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
