"""Records of chunks, sealed under their run's key: one blob for each page of chunks."""

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kernel.errors import InternalError
from kernel.records import Column, Records
from store.blobs import CONTEXT, Blobs
from store.database import Database
from store.envelope import Envelope
from store.runs import context_key, set_context_key
from workflows.rows import from_json, to_json

_REMEMBERED = 16


@dataclass(frozen=True)
class PagePlace:
    """Which page of which dispatch, and the run's execution that wrote it."""

    run_id: UUID
    execution: int
    step_key: str
    page: int

    @property
    def name(self) -> str:
        """The name of its blob."""
        return f"{self.run_id}/{self.execution:04}/{self.step_key}/page-{self.page:06}"


@dataclass(frozen=True)
class ChunkPage:
    """Numbers of chunks with their records, in order, and which columns are sensitive."""

    numbers: Sequence[int]
    records: Records
    sensitive: frozenset[str]


class ChunkPages:
    """Writes and reads pages. The last few that were read are kept in memory: a page is read by as many
    activities as it has chunks. One instance serves many threads."""

    def __init__(self, blobs: Blobs, envelope: Envelope) -> None:
        self._blobs = blobs
        self._envelope = envelope
        self._known: OrderedDict[str, ChunkPage] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, database: Database, run_id: UUID, actor: str) -> bytes:
        """The run's wrapped key, made if it has none. Raises `Conflict` when the run has ended."""
        with database.transaction(actor) as connection:
            found = context_key(connection, run_id)
            return found or set_context_key(connection, run_id, self._envelope.new_wrapped_key())

    def write(self, key: bytes, place: PagePlace, page: ChunkPage) -> None:
        """Seal a page; writing it again replaces it."""
        plain = {
            "numbers": list(page.numbers),
            "columns": [[column.name, column.type] for column in page.records.columns],
            "rows": to_json(page.records),
            "sensitive": sorted(page.sensitive),
        }
        packed = zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), level=3)
        self._blobs.write(CONTEXT, place.name, self._envelope.seal(key, packed, place.name), overwrite=True)

    def read(self, database: Database, place: PagePlace) -> ChunkPage:
        """The page; `NotFound` when it is gone, `InternalError` when its run has no key any more."""
        with self._lock:
            known = self._known.get(place.name)
            if known is not None:
                self._known.move_to_end(place.name)
                return known
        page = self._read(database, place)
        with self._lock:
            self._known[place.name] = page
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return page

    def _read(self, database: Database, place: PagePlace) -> ChunkPage:
        with database.reading() as connection:
            key = context_key(connection, place.run_id)
        if key is None:
            raise InternalError(f"The records of the chunks of {place.step_key!r} are not there any more.")
        sealed = self._blobs.read(CONTEXT, place.name)
        plain = json.loads(zlib.decompress(self._envelope.open(key, sealed, place.name)))
        columns = tuple(Column.parse(name, kind) for name, kind in plain["columns"])
        records = from_json(columns, plain["rows"])
        return ChunkPage(plain["numbers"], records, frozenset(plain["sensitive"]))
