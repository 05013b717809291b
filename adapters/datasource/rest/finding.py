"""Records that the system has, by our key."""

from collections.abc import Mapping
from typing import Any

from adapters.contract import PushResult, PushStatus
from adapters.datasource.rest.bodies import Ready
from adapters.datasource.rest.catalogue import KEY
from adapters.datasource.rest.http import Http
from adapters.datasource.rest.operations import FindSpec, PushSpec
from adapters.datasource.rest.places import ABSENT, at, shown
from adapters.datasource.rest.reading import listed
from adapters.datasource.rest.requests import address
from adapters.datasource.rest.scrubbing import plain_text
from adapters.datasource.rest.transport import Call
from adapters.datasource.rest.wire import decoded
from kernel.errors import ExternalNotFound, InvalidData
from kernel.records import Value, parse_columns
from kernel.timestamps import Unfit


class Finder:
    """Looks records up one by one, as the operation's `find` says."""

    def __init__(self, http: Http, spec: PushSpec, find: FindSpec, values: Mapping[str, Value]) -> None:
        self._http = http
        self._spec = spec
        self._find = find
        self._values = values
        self._key_place = find.key or (spec.key.field if spec.key else None)

    def record(self, sent_key: str) -> Any | None:
        """The record under the key, as the system tells it."""
        values = {**self._values, KEY: sent_key}
        url = address(self._http.settings, self._find.path, self._find.query, values)
        try:
            _, data = self._http.read(Call("GET", url, self._find.path), values)
        except ExternalNotFound:
            if f"{{{KEY}}}" not in self._find.path:
                raise
            return None
        found = [item for item in listed(at(data, self._find.record)) if self._is_it(item, sent_key)]
        return found[0] if found else None

    def external_id(self, item: Any) -> str:
        """The system's own id of a record that was found. Raises `InvalidData` without one."""
        found = plain_text(at(item, self._find.id))
        if not found:
            raise InvalidData(
                f"A record found at {self._find.path} has no id at {shown(self._find.id)}. Correct find."
            )
        return found

    def compared(self, record: Ready, item: Any) -> PushResult:
        """The result for a record that the system has: present, or rejected if it has other values."""
        different = [
            column.name
            for column in parse_columns(self._spec.columns)
            if self._differs(record, column.name, item)
        ]
        found = self.external_id(item)
        if different:
            reason = f"A record with the same key holds other values in {', '.join(different)}."
            return PushResult(record.key, PushStatus.REJECTED, found, reason)
        return PushResult(record.key, PushStatus.PRESENT, found)

    def _is_it(self, item: Any, sent_key: str) -> bool:
        # Without a place for it, the key is in the path, which names one record.
        return self._key_place is None or at(item, self._key_place) == sent_key

    def _differs(self, record: Ready, name: str, item: Any) -> bool:
        cell = at(item, self._spec.place_of(name))
        if cell is ABSENT:
            # Searches often answer with fewer fields than were written: what is not told cannot differ.
            return False
        column = next(column for column in parse_columns(self._spec.columns) if column.name == name)
        try:
            return decoded(cell, column) != record.values[name]
        except Unfit:
            return True
