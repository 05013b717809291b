"""What one run and one chunk of this engine cost: `python3 dev.py bench counts [--runs N] [--chunks N]`.

Counts hardly depend on how fast the machine is or what else it does; processor times somewhat do.
"""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import conninfo, sql

from benchmarks import rounds
from benchmarks.contenders import CONTENDERS
from benchmarks.own import engine
from benchmarks.own.engine import Sluice
from benchmarks.peers.driving import Place
from localhost.services.stack import Stack
from localhost.taskhub import wire
from tests.support.services import session_stack

ENGINE, HUB, SINK = "engine", "hub", "sink"
_SETTLE_SECONDS = 1.5
"""PostgreSQL publishes what sessions have counted once a second."""
_STATEMENT = re.compile(r"^counted\|(\w*)\|.*?(?:statement|execute [^:]*): +(.*)$")
_ASIDE = re.compile(r"SELECT (state|count\(\*\)|state, count\(\*\)) FROM sluice\.workflow_run")
"""What this program asks while it waits."""
_KEPT = """
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'sluice'
"""


@dataclass
class Counted:
    """What happened while `units` runs or chunks went through."""

    title: str
    units: int
    seconds: float = 0.0
    amounts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Each amount, per run or chunk."""
        yield f"{self.title}: {self.units} in {self.seconds:.1f} s"
        for name, amount in self.amounts.items():
            yield f"  {amount / self.units:12,.3f}  {name}"


class Observer:
    """Looks at the databases and processes of a deployment before and after."""

    def __init__(self, stack: Stack, place: Place, deployment: Sluice) -> None:
        self._server = stack.postgres.connect()
        self._log = stack.postgres.log
        self._deployment = deployment
        urls = {ENGINE: place.database_url, HUB: place.services["hub_url"], SINK: place.sink_url}
        self._names = {key: str(conninfo.conninfo_to_dict(url)["dbname"]) for key, url in urls.items()}
        self._engine = stack.postgres.connect(self._names[ENGINE])
        self._hub = stack.postgres.connect(self._names[HUB])
        self._server.execute("ALTER SYSTEM SET log_line_prefix = 'counted|%d|'")
        for name in self._names.values():
            setting = sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(sql.Identifier(name))
            self._server.execute(setting)
        self._server.execute("SELECT pg_reload_conf()")

    def count(self, title: str, units: int, work: Callable[[], None]) -> Counted:
        """Do the work and say what it took."""
        counted = Counted(title, units)
        before, place, since = self._now(), self._log.stat().st_size, self._last_execution()
        began = time.perf_counter()
        work()
        counted.seconds = time.perf_counter() - began
        counted.amounts = self._now()
        counted.amounts.subtract(before)
        counted.amounts.update(self._statements(place))
        counted.amounts.update(self._history(since))
        return counted

    def _now(self) -> Counter[str]:
        found = self._processor()
        time.sleep(_SETTLE_SECONDS)
        for key, name in self._names.items():
            query = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
            found[f"transactions, {key} database (with this program's questions)"] = _one(
                self._server, query, name
            )
        found["bytes of write-ahead log, all databases"] = _one(
            self._server, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
        )
        found["bytes kept in tables and indexes of the engine"] = _one(self._engine, _KEPT)
        found["recorded transitions"] = _one(self._engine, "SELECT count(*) FROM sluice.state_transition")
        found["audit events"] = _one(self._engine, "SELECT count(*) FROM sluice.audit_event")
        return found

    def _processor(self) -> Counter[str]:
        """Milliseconds of processor time so far."""
        host, *workers = map(psutil.Process, self._deployment.processes())
        servers = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "postgres"]
        groups = {"host": [host], "workers": workers, "PostgreSQL": servers}
        return Counter(
            {f"processor ms, {name}": round(1000 * sum(map(_seconds, all_))) for name, all_ in groups.items()}
        )

    def _statements(self, place: int) -> Counter[str]:
        with self._log.open("rb") as file:
            file.seek(place)
            text = file.read().decode(errors="replace")
        databases = {name: key for key, name in self._names.items()}
        found: Counter[str] = Counter()
        for line in text.splitlines():
            said = _STATEMENT.match(line)
            if said and said[1] in databases and not _ASIDE.match(said[2]):
                found[f"statements, {databases[said[1]]} database"] += 1
        return found

    def _last_execution(self) -> int:
        return _one(self._hub, "SELECT coalesce(max(execution), 0) FROM taskhub.history")

    def _history(self, since: int) -> Counter[str]:
        rows = self._hub.execute(
            "SELECT events FROM taskhub.history WHERE execution > %s", [since]
        ).fetchall()
        found: Counter[str] = Counter({"bytes of durable history": sum(len(events) for (events,) in rows)})
        for (events,) in rows:
            kinds = (str(event.WhichOneof("eventType")) for event in wire.history_events([bytes(events)]))
            found.update(f"durable history: {kind}" for kind in kinds)
        return found


def _one(connection: psycopg.Connection[Any], query: str, *values: Any) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


@contextmanager
def deployment(stack: Stack, name: str) -> Iterator[tuple[Sluice, Observer]]:
    """This engine, started, with who counts."""
    contender = next(one for one in CONTENDERS if one.name == name)
    with rounds.place_for(stack, contender, Path(sys.executable)) as given:
        place = Place(**{**given, "folder": Path(given["folder"])})
        with engine.opening(place) as started:
            yield started, Observer(stack, place, started)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what runs and chunks cost."""
    parser = argparse.ArgumentParser(prog="bench counts", description="What runs and chunks cost.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--chunks", type=int, default=1000)
    given = parser.parse_args(argv)
    with session_stack() as stack:
        with deployment(stack, "sluice") as (started, counter):
            started.run_all([f"warm-{number}" for number in range(60)])
            units = [f"counted-{number}" for number in range(given.runs)]
            _tell(counter.count("A run", given.runs, lambda: started.run_all(units)))
        for batch in (1, 50):
            with deployment(stack, f"sluice-{batch}") as (started, counter):
                started.fan_out("warm", 200)
                title = f"A chunk, batch {batch}"
                _tell(counter.count(title, given.chunks, lambda: started.fan_out("counted", given.chunks)))
    return 0


def _tell(counted: Counted) -> None:
    print("\n".join(counted.lines()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
