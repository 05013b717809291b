"""What an execution has found out and not written down yet.

It is written with the next commit that is needed anyway: before a connected system is called, when the
execution waits, and when it ends. Until then nothing has happened but what is repeated: reads and pure steps.
"""

from collections.abc import Callable

from sqlalchemy import Connection

type Note = Callable[[Connection], object]


class Notes:
    """Changes of rows in the order in which they happened."""

    def __init__(self) -> None:
        self._waiting: list[Note] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, note: Note) -> None:
        """Remember a change."""
        self._waiting.append(note)

    def write(self, connection: Connection) -> None:
        """Make the changes in the caller's transaction. When that fails, the whole execution is repeated."""
        waiting, self._waiting = self._waiting, []
        for note in waiting:
            note(connection)
