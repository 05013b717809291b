"""A process that goes in and out of a gate and writes down, in a database, how many are inside.

`python -m tests.support.gate_worker GATE LIMIT ENTRIES LEASE` reads the storage connection and the database's
address from STORAGE and RECORD. With 0 entries it goes in once, says so, and stays until it is killed.
"""

import os
import sys
from datetime import timedelta

import psycopg

from kernel.errors import Busy
from kernel.secrets import Secret
from store.gates import Gates

MAKE = "CREATE TABLE inside (one int PRIMARY KEY, now int, most int, entries int)"
_IN = "UPDATE inside SET now = now + 1, most = greatest(most, now + 1), entries = entries + 1"
_STAY = "SELECT pg_sleep(0.01)"
_OUT = "UPDATE inside SET now = now - 1"


def go_in_and_out(gates: Gates, gate: str, limit: int, record: psycopg.Connection) -> bool:
    """Be inside for a moment; False when there was no room."""
    try:
        with gates.enter(gate, "sandbox", limit):
            for statement in (_IN, _STAY, _OUT):
                record.execute(statement)
    except Busy:
        return False
    return True


def main(gate: str, limit: int, entries: int, lease: float) -> None:
    """Go in so many times, as fast as the gate allows."""
    gates = Gates(Secret(os.environ["STORAGE"]), timedelta(seconds=lease))
    if not entries:
        with gates.enter(gate, "sandbox", limit):
            print("inside", flush=True)
            sys.stdin.read()
    with psycopg.connect(os.environ["RECORD"], autocommit=True) as record:
        while entries:
            entries -= go_in_and_out(gates, gate, limit, record)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
