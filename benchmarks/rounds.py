"""Rounds: each engine alone, with new databases, measured by a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import extensions
from benchmarks.contenders import Contender
from benchmarks.peers import sink
from benchmarks.peers.measuring import Amounts, Measured
from localhost.services import databases
from localhost.services.ports import LOOPBACK
from localhost.services.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[1]
_LAST_WORDS = 1500


class CannotRun(Exception):
    """An engine could not be measured; the text says why."""


def play(stack: Stack, contender: Contender, amounts: Amounts, python: Path, limit: float) -> Measured:
    """Measure one engine once. Raises `CannotRun`; `limit` is in seconds."""
    with place_for(stack, contender, python) as place:
        given = {"place": place, "amounts": asdict(contender.amounts(amounts))}
        process = subprocess.Popen(
            [str(python), "-m", contender.module],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(json.dumps(given), timeout=limit)
        except subprocess.TimeoutExpired as exc:
            process.terminate()
            _, err = process.communicate()
            raise CannotRun(f"It was not done within {limit:.0f} s. {err[-_LAST_WORDS:]}") from exc
    if process.returncode:
        raise CannotRun(err.strip()[-_LAST_WORDS:] or f"It ended with code {process.returncode}.")
    return _measured(json.loads(out))


def _measured(given: dict[str, Any]) -> Measured:
    fan_outs = {int(count): rate for count, rate in given.pop("fan_outs").items()}
    return Measured(**given, fan_outs=fan_outs)


@contextmanager
def place_for(stack: Stack, contender: Contender, python: Path) -> Iterator[dict[str, Any]]:
    """New databases and a new folder, all gone at the end."""
    name = f"bench_{contender.name.replace('-', '_')}_{uuid4().hex[:6]}"
    owners = {name: databases.OWNER, f"{name}_sink": databases.ERP, f"{name}_hub": databases.HUB}
    urls = {base: _url(stack, base, owner) for base, owner in owners.items()}
    with stack.postgres.connect() as connection, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        try:
            for base, owner in owners.items():
                databases.create_database(connection, base, owner=owner, visitors=(databases.APP,))
            sink.create(urls[f"{name}_sink"])
            if contender.extension:
                extensions.add(stack, name, contender.extension, python, Path(folder))
            yield {
                "database_url": urls[name],
                "sink_url": urls[f"{name}_sink"],
                "folder": folder,
                "variant": contender.variant,
                "services": _services(stack, name, urls) if contender.own else {},
            }
        finally:
            for base in owners:
                databases.drop_database(connection, base)


def _services(stack: Stack, name: str, urls: dict[str, str]) -> dict[str, Any]:
    """What only this engine needs: its two roles, its hub, storage, and the sink's address in parts."""
    postgres = stack.postgres
    return {
        "app_url": postgres.url(name, databases.APP),
        "owner_url": postgres.url(name, databases.OWNER),
        "hub_url": urls[f"{name}_hub"],
        "storage": stack.azurite.connection_string,
        "sink": {
            "host": LOOPBACK,
            "port": postgres.port,
            "database": f"{name}_sink",
            "user": databases.ERP,
            "password": postgres.password(databases.ERP),
        },
    }


def _url(stack: Stack, name: str, role: str) -> str:
    return stack.postgres.url(name, role).replace("+psycopg", "")


def own_python() -> Path:
    """The Python of the product's environment."""
    return Path(sys.executable)
