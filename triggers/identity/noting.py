"""Writes down who was here, so that messages reach people by the names and addresses they have."""

import azure.functions as func

from kernel.clock import Clock
from kernel.people import Person
from kernel.timed import TimedCache
from store.database import AUTOMATIC, Database
from store.people import note_seen
from triggers.http import Identify

NOTED_EVERY_SECONDS = 600.0


class Noting:
    """Another's answer, noted for people, at most every ten minutes for each."""

    def __init__(self, identify: Identify, database: Database, clock: Clock) -> None:
        self._identify, self._database, self._clock = identify, database, clock
        self._noted: TimedCache[Person, None] = TimedCache(NOTED_EVERY_SECONDS)

    def __call__(self, request: func.HttpRequest) -> Person:
        """Who asks."""
        person = self._identify(request)
        if not person.machine:
            self._noted.get(person, lambda: self._note(person))
        return person

    def _note(self, person: Person) -> None:
        with self._database.transaction(AUTOMATIC) as connection:
            note_seen(connection, person, self._clock())
