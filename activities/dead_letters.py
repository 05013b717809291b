"""Record-level rejects: kept sealed with their reason, or failing the step, as it declares."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from activities.sensitivity import visible
from activities.work import Work
from kernel.errors import Fault, InvalidData
from kernel.records import Column, Record
from kernel.redaction import redact_fault
from store.dead_letters import NewDeadLetter, keep
from store.letter_payloads import Payload, seal
from workflows.rows import digest

SHOWN_FAULTS = 20


@dataclass(frozen=True)
class Rejected:
    """A record that cannot go on, and why."""

    record: Record
    faults: tuple[Fault, ...]

    @property
    def reason(self) -> str:
        """One line for lists."""
        return " ".join(fault.message for fault in self.faults)


def check_rejects(work: Work, rejected: Sequence[Rejected], sensitive: frozenset[str]) -> None:
    """Raise `InvalidData` with the first faults when the step does not tolerate rejects."""
    if not rejected or work.step.rejects == "dead_letter":
        return
    faults = [redact_fault(fault, sensitive) for one in rejected for fault in one.faults]
    raise InvalidData(
        f"{len(rejected)} records of {work.step.key!r} were rejected. Correct them at the source, or declare "
        "`rejects: dead_letter` to set them aside.",
        faults=faults[:SHOWN_FAULTS],
    )


def keep_rejected(
    work: Work, rejected: Sequence[Rejected], columns: tuple[Column, ...], sensitive: frozenset[str]
) -> None:
    """Keep rejected records as dead letters, and close those that an earlier time of the step had kept of
    records that now go on. A record of the same step is kept once however often it runs.

    Equal records are told apart by their number: each is one that did not go on.
    """
    if work.step.rejects != "dead_letter" or (work.fresh and not rejected):
        return
    letters, now = letters_of(work, rejected, columns, sensitive), work.services.clock()
    place = (work.run.id, work.chunk_id, work.step.key)
    work.notes.add(lambda connection: keep(connection, *place, letters, now))


def letters_of(
    work: Work, rejected: Sequence[Rejected], columns: tuple[Column, ...], sensitive: frozenset[str],
    first: int = 0,
) -> list[NewDeadLetter]:  # fmt: skip
    """What to keep of rejected records. Equal ones are told apart by their number, counted from `first`: each
    is one that did not go on."""
    seen: Counter[str] = Counter()
    letters = []
    for one in rejected:
        identity = digest(one.record)
        letters.append(_letter(work, one, columns, sensitive, f"{identity}:{first + seen[identity]}"))
        seen[identity] += 1
    return letters


def _letter(
    work: Work, one: Rejected, columns: tuple[Column, ...], sensitive: frozenset[str], identity: str
) -> NewDeadLetter:
    faults = [redact_fault(fault, sensitive).to_dict() for fault in one.faults]
    sealed = seal(work.services.envelope, Payload(columns, one.record, sensitive), work.run.id)
    return NewDeadLetter(identity, one.reason, faults, visible(one.record, sensitive), sealed)
