"""The floor: bare psycopg in one process, one row for each state, nothing that would resume a broken run.

    python -m benchmarks.peers.floor_work < place-and-amounts.json

With a variant, the fan-out writes the states of that many chunks in one statement: the limit of batching.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg

from benchmarks.peers import work
from benchmarks.peers.driving import Place, drive
from benchmarks.peers.sink import Sink

SCHEMA = """
CREATE TABLE run (id text PRIMARY KEY, state text NOT NULL, input text NOT NULL);
CREATE TABLE step (run text, name text, state text NOT NULL, output text, PRIMARY KEY (run, name));
"""
_BEGIN_RUN = "INSERT INTO run (id, state, input) VALUES (%s, %s, %s)"
_END_RUNS = "UPDATE run SET state = 'SUCCEEDED' WHERE id = ANY (%s)"
_BEGIN_STEPS = "INSERT INTO step (run, name, state) SELECT unnest(%s::text[]), %s, 'RUNNING'"
_END_STEPS = """
    UPDATE step SET state = 'SUCCEEDED', output = given.output
    FROM unnest(%s::text[], %s::text[]) AS given (run, output)
    WHERE step.run = given.run AND step.name = %s
"""


class Floor:
    """Runs are done where they are started, one statement and one commit for each change of state."""

    def __init__(self, connection: psycopg.Connection, sink: Sink, place: Place) -> None:
        self._connection = connection
        self._sink = sink
        self._place = place
        self._batch = int(place.variant or 1)

    def start(self, unit: str) -> str:
        """The run's row."""
        self._connection.execute(_BEGIN_RUN, [unit, "RUNNING", unit])
        return unit

    def finish(self, handle: str) -> None:
        """The steps, then the run's end."""
        lines = self._step([handle], "fetch", lambda: [json.dumps(work.fetch(handle))])
        priced = self._step(
            [handle], "transform", lambda: [work.payload(work.transform(json.loads(lines[0])))]
        )
        self._push([handle], priced)

    def run_all(self, units: Sequence[str]) -> None:
        """One after the other: there is one process."""
        for unit in units:
            self.finish(self.start(unit))

    def fan_out(self, group: str, count: int) -> None:
        """The parent's row, the rows of all chunks, then chunk after chunk or batch after batch."""
        self.start(group)
        records = {work.chunk_unit(group, n): work.record(work.chunk_unit(group, n), n) for n in range(count)}
        with self._connection.cursor().copy("COPY run (id, state, input) FROM STDIN") as copy:
            for unit, record in records.items():
                copy.write_row([unit, "PENDING", json.dumps(record)])
        units = list(records)
        for begin in range(0, count, self._batch):
            self._chunks({unit: records[unit] for unit in units[begin : begin + self._batch]})
        self._connection.execute(_END_RUNS, [[group]])

    def _chunks(self, records: dict[str, work.Line]) -> None:
        units = list(records)
        priced = self._step(
            units, "transform", lambda: [work.payload(work.transform([records[unit]])) for unit in units]
        )
        self._push(units, priced)

    def _push(self, units: list[str], payloads: list[str]) -> None:
        self._connection.execute(_BEGIN_STEPS, [units, "push"])
        self._sink.push_all(dict(zip(units, payloads, strict=True)))
        self._connection.execute(_END_STEPS, [units, units, "push"])
        self._connection.execute(_END_RUNS, [units])

    def _step(self, units: list[str], name: str, do: Callable[[], list[str]]) -> list[str]:
        """A step's two states; its output is kept with the second."""
        self._connection.execute(_BEGIN_STEPS, [units, name])
        outputs = do()
        self._connection.execute(_END_STEPS, [units, outputs, name])
        return outputs

    def suspend_all(self, units: Sequence[str]) -> None:
        """Runs that have been fetched and priced wait in the database; a thread listens for signals."""
        for unit in units:
            self.start(unit)
            self._step([unit], "transform", partial(_priced, [unit]))
        listening = threading.Event()
        threading.Thread(target=_resume, args=[self._place, listening], daemon=True).start()
        listening.wait()

    def signal(self, unit: str) -> None:
        """The decision, durable and announced in one commit."""
        with self._connection.transaction():
            self._connection.execute("UPDATE run SET state = 'APPROVED' WHERE id = %s", [unit])
            self._connection.execute("SELECT pg_notify('approved', %s)", [unit])

    def resume(self, unit: str) -> None:
        """The rest of an approved run."""
        query = "SELECT output FROM step WHERE run = %s AND name = 'transform'"
        row = self._connection.execute(query, [unit]).fetchone()
        assert row is not None
        self._push([unit], [row[0]])

    def processes(self) -> list[int]:
        """This one."""
        return [os.getpid()]


def _priced(units: Sequence[str]) -> list[str]:
    return [work.pushed_by_run(unit) for unit in units]


def _resume(place: Place, listening: threading.Event) -> None:
    """Resume what is approved, for ever."""
    with _connect(place) as connection, opened(place) as floor:
        connection.execute("LISTEN approved")
        listening.set()
        for notice in connection.notifies():
            floor.resume(notice.payload)


def _connect(place: Place) -> psycopg.Connection:
    return psycopg.connect(place.database_url, autocommit=True)


@contextmanager
def opened(place: Place) -> Iterator[Floor]:
    """A floor with connections of its own."""
    with _connect(place) as connection, Sink(place.sink_url) as sink:
        yield Floor(connection, sink, place)


@contextmanager
def opening(place: Place) -> Iterator[Floor]:
    """The floor and its tables."""
    with _connect(place) as connection:
        connection.execute(SCHEMA)
    with opened(place) as floor:
        yield floor


if __name__ == "__main__":
    drive(opening)
