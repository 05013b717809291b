"""TRANSFORM: earlier steps' records into new ones by SQL; each is checked against its object type."""

from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.sensitivity import hidden_columns
from activities.verbs.measuring import measured
from activities.work import Result, Work, tables
from kernel.errors import InternalError
from kernel.records import ColumnKind, Record, Records
from store.object_types import object_types
from workflows.model import Transform
from workflows.objects import ObjectType

TEXTS = frozenset({ColumnKind.TEXT, ColumnKind.TIMESTAMP_TEXT})


def transform(work: Work, select: Transform) -> Result:
    """Run the SELECT; rejects become dead letters or fail the step, as it declares."""
    engine = work.services.engine
    sources = work.sources(engine.analyse(select.sql).tables)
    records = engine.run(select.sql, tables(sources))
    texts = {column.name: column.kind in TEXTS for column in records.columns}
    sensitive = hidden_columns(sources.values(), texts).union(work.step.sensitive)
    return accepted(work, records, sensitive)


def accepted(work: Work, records: Records, sensitive: frozenset[str]) -> Result:
    """The records as the step's output: those that meet its object type, measured; the others set aside."""
    if not work.step.emits:
        return measured(work, records, sensitive)
    good, rejected = _checked(records, _object_type(work, work.step.emits))
    check_rejects(work, rejected, sensitive)
    result = measured(work, good, sensitive, Records(records.columns, [one.record for one in rejected]))
    keep_rejected(work, rejected, records.columns, sensitive)
    return result


def _object_type(work: Work, name: str) -> ObjectType:
    with work.services.database.reading() as connection:
        schemas = object_types(connection)
    if name not in schemas:
        raise InternalError(f"The business object type {name!r} is not there any more.")
    return ObjectType(name, schemas[name])


def _checked(records: Records, kind: ObjectType) -> tuple[Records, list[Rejected]]:
    accepted: list[Record] = []
    rejected: list[Rejected] = []
    for record in records.rows:
        if kind.accepts(record):
            accepted.append(record)
        else:
            rejected.append(Rejected(record, tuple(kind.faults(record))))
    return Records(records.columns, accepted), rejected
