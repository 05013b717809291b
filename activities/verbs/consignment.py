"""Shipments that travel together: claimed, sent in common batches, and settled each by itself."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from activities.claiming import Claiming
from activities.fates import Fates, settle_known
from activities.interruption import Interrupted, check_going
from activities.posting import Batch
from activities.services import ENGINE
from activities.verbs.shipment import Shipment
from activities.work import Result, Work
from adapters.contract import Adapter, Operation
from kernel.errors import SluiceError, Unavailable
from kernel.records import Record
from store.batches import note_batch
from store.executions import note_life
from store.postings import Claim
from store.runs import set_task_progress


@dataclass(frozen=True)
class Undone:
    """A write that did not get done, and how its records stand if it came that far."""

    error: SluiceError
    shipment: Shipment | None = None

    def standing(self, *, final: bool) -> tuple[dict[str, int] | None, dict[str, Any] | None]:
        """Counts and measures of the records. If it is `final`, what is not settled is held."""
        if self.shipment is None:
            return None, None
        if not final:
            return self.shipment.counts(), None
        return self.shipment.left_over()


@dataclass(frozen=True)
class Consignment:
    """Shipments of one operation under the same parameters, no record in two of them. `started` is the
    monotonic time from which the time for writing counts."""

    shipments: Sequence[Shipment]
    adapter: Adapter
    operation: Operation
    started: float

    def post(self) -> list[Result | Undone]:
        """What each shipment has come to. Raises `Unavailable` and `Interrupted` for all of them."""
        try:
            self._send()
        except (Unavailable, Interrupted):
            raise
        except SluiceError as exc:
            if len(self.shipments) > 1 and not exc.transient:  # it may be the fault of one of them only
                alone = (replace(self, shipments=[shipment]) for shipment in self.shipments)
                return [outcome for consignment in alone for outcome in consignment.post()]
            return [self._outcome(shipment, exc) for shipment in self.shipments]
        return [self._outcome(shipment, None) for shipment in self.shipments]

    @property
    def _work(self) -> Work:
        return self.shipments[0].work

    @cached_property
    def _records(self) -> dict[str, Record]:
        return {key: record for shipment in self.shipments for key, record in shipment.keyed.items()}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {key: digest for shipment in self.shipments for key, digest in shipment.digests.items()}

    @cached_property
    def _claim(self) -> Claim:
        work, call = self._work, self.shipments[0].call
        chunks = {
            key: chunk_id
            for shipment in self.shipments
            if (chunk_id := shipment.work.chunk_id) is not None
            for key in shipment.keyed
        }
        environment = work.services.environment
        place = (work.run.id, work.step.key, work.token)
        return Claim(*place, call.connector, environment, call.operation, chunks)

    @cached_property
    def _claiming(self) -> Claiming:
        first = self.shipments[0]
        return Claiming(
            first.work, first.call, self._claim, first.source.sensitive, self._records, self._digests
        )

    def _send(self) -> None:
        begun = [shipment for shipment in self.shipments if self._take_up(shipment)]
        at_once = not begun and len(self._records) <= self.operation.batch_size
        if not at_once:
            with self._work.services.database.transaction(ENGINE, swift=True) as connection:
                check_going(connection, self._work)
                self._work.notes.write(connection)
            self._settle(self._claiming.claim_all(self._known()))
            with self._work.services.database.transaction(ENGINE, swift=True) as connection:
                check_going(connection, self._work)
                self._note_batches(connection)
        elif not self._records:
            self._work.notes.add(self._note_batches)
        for batch in self._batches(at_once):
            if self._is_late():
                return
            self._work.check_time()
            settled = batch.post()
            self._settle(settled)
            if not at_once:
                self._note_progress(alive=settled.sent)

    def _take_up(self, shipment: Shipment) -> bool:
        """Whether the step has begun before with these records; what is settled of them is settled."""
        if shipment.work.fresh:
            return False
        claiming = replace(
            self._claiming, work=shipment.work, records=shipment.keyed, digests=shipment.digests
        )
        rows = claiming.begun()
        for key in shipment.keyed.keys() & rows.keys():
            settle_known(shipment.fates, self._claim, rows[key], shipment.digests[key])
        shipment.begun = frozenset(rows)
        return bool(rows)

    def _known(self) -> frozenset[str]:
        return frozenset(key for shipment in self.shipments for key in shipment.begun)

    def _batches(self, at_once: bool) -> Iterator[Batch]:
        settled = {key for shipment in self.shipments for key in shipment.fates.of}
        left = sorted(self._records.keys() - settled)
        first = self.shipments[0]
        for keys in itertools.batched(left, self.operation.batch_size, strict=False):
            records = {key: self._records[key] for key in keys}
            yield Batch(
                first.work, first.call, self.operation, self.adapter, self._claim, records, self._digests,
                first.columns, self._open if at_once else None,
            )  # fmt: skip

    def _open(self, connection: Connection) -> None:
        """Claim everything in the transaction that marks it SENT: there is only one batch."""
        self._work.notes.write(connection)
        self._claiming.claim_blindly(connection, sorted(self._records))
        self._note_batches(connection)

    def _note_batches(self, connection: Connection) -> None:
        if self._work.chunk is None:
            run, step, shipment = self._work.run, self._work.step, self.shipments[0]
            note_batch(connection, run.id, step.key, shipment.digest, shipment.counts())

    def _is_late(self) -> bool:
        sent = any(shipment.fates.sent for shipment in self.shipments)
        return sent and time.monotonic() - self.started > self._work.services.write_seconds

    def _settle(self, fates: Fates) -> None:
        for shipment in self.shipments:
            shipment.fates.merge(fates.of_keys(shipment.keyed))

    def _note_progress(self, *, alive: bool) -> None:
        if self._work.chunk is not None:
            return
        with self._work.services.database.transaction(ENGINE, swift=True) as connection:
            if alive:  # first the run, then its task, as everywhere: two executions would block each other
                note_life(connection, self._work.run.id, self._work.services.clock())
            run, counts = self._work.run, self.shipments[0].counts()
            set_task_progress(connection, run.id, self._work.step.key, counts)

    def _outcome(self, shipment: Shipment, error: SluiceError | None) -> Result | Undone:
        settled = shipment.keyed.keys() <= shipment.fates.of.keys() | shipment.fates.waits.keys()
        if not settled and error is None:
            return Result(unfinished=True)
        try:
            if error is not None and not settled:
                raise error
            return shipment.finished()
        except (Unavailable, Interrupted):
            raise
        except SluiceError as exc:
            self._note_progress(alive=False)
            return Undone(exc, shipment)
