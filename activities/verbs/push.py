"""PUSH: records into a connected system, each exactly once, in batches."""

import time
from collections.abc import Sequence
from contextlib import ExitStack

from activities.approving import unapproved
from activities.claiming import batch_digest, source_changed
from activities.verbs.consignment import Consignment, Undone
from activities.verbs.shipment import Shipment
from activities.work import Result, Work
from adapters.contract import Adapter, Operation
from kernel.errors import SluiceError, Unavailable
from store.runs import TaskRow
from workflows.model import Push
from workflows.version import canonical_json


def push(work: Work, call: Push) -> Result:
    """Post the records that are not posted yet. `unfinished` when the time of one activity is used up."""
    outcome = push_together([work], call)[0]
    if isinstance(outcome, Undone):
        raise outcome.error
    return outcome


def push_together(works: Sequence[Work], call: Push) -> list[Result | Undone]:
    """The same for the same step of several chunks, which share their notes: what each has come to, in their
    order.

    Records of chunks travel in common batches where the operation judges each record by itself. Raises
    `Unavailable` and `Interrupted` for all of them.
    """
    started = time.monotonic()
    with ExitStack() as inside:
        try:
            adapter = inside.enter_context(works[0].adapter(call))
        except Unavailable:
            raise
        except SluiceError as exc:  # no room, or the connector cannot be used: nothing was begun
            return [Undone(exc) for _ in works]
        operation = operation_of(adapter, call)
        outcomes: dict[int, Result | Undone] = {}
        shipments = []
        for index, work in enumerate(works):
            asks = unapproved(work)
            if asks is not None:
                outcomes[index] = Result(asks=asks)
                continue
            made = _shipment(work, call, operation)
            if isinstance(made, Undone):
                outcomes[index] = made
            else:
                shipments.append((index, made))
        for together in _consignments(shipments, operation):
            consignment = Consignment([one for _, one in together], adapter, operation, started)
            outcomes |= zip((index for index, _ in together), consignment.post(), strict=True)
    return [outcomes[index] for index in range(len(works))]


def check_posted(work: Work, call: Push, task: TaskRow) -> None:
    """A write that stands goes with its records: raise `TotalsNotProved` when those that are there now are
    not those that it posted. Records that nobody needs any more are not looked at."""
    output = work.context.outputs().get(call.records)
    if task.batch_digest is not None and output is not None and output.records is not None:
        with work.adapter(call) as adapter:
            shipment = Shipment.of(work, call, operation_of(adapter, call))
        same = batch_digest(shipment.digests) == task.batch_digest
        if not same or len(output.records) != (task.counts or {}).get("records"):
            raise source_changed(work, ())


def operation_of(adapter: Adapter, call: Push) -> Operation:
    """The operation that the call names."""
    return adapter.operations[call.operation]


def _shipment(work: Work, call: Push, operation: Operation) -> Shipment | Undone:
    try:
        return Shipment.of(work, call, operation)
    except Unavailable:
        raise
    except SluiceError as exc:
        return Undone(exc)


type _Placed = tuple[int, Shipment]


def _consignments(shipments: Sequence[_Placed], operation: Operation) -> list[list[_Placed]]:
    """What may travel together: under the same parameters, no record twice, and not where one bad record
    spoils a whole batch."""
    groups: list[list[_Placed]] = []
    keys: list[set[str]] = []
    heads: list[str] = []
    for placed in shipments:
        shipment = placed[1]
        head = canonical_json(shipment.parameters)
        fits = (
            at
            for at in range(len(groups))
            if not operation.atomic and heads[at] == head and keys[at].isdisjoint(shipment.keyed)
        )
        at = next(fits, len(groups))
        if at == len(groups):
            groups.append([])
            keys.append(set())
            heads.append(head)
        groups[at].append(placed)
        keys[at].update(shipment.keyed)
    return groups
