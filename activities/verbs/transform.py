"""TRANSFORM: earlier steps' records into new ones by SQL; each is checked against its object type."""

from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.verbs.measuring import measured
from activities.work import Result, Work
from kernel.errors import InternalError
from kernel.records import Record, Records
from store.object_types import object_types
from workflows.context import StepOutput
from workflows.objects import ObjectType


def transform(work: Work) -> Result:
    """Run the SELECT; rejects become dead letters or fail the step, as it declares."""
    assert work.step.transform is not None
    engine, sql = work.services.engine, work.step.transform.sql
    inputs = engine.analyse(sql).tables
    records = engine.run(sql, work.context.tables(inputs))
    output = StepOutput(records=records, sensitive=_sensitive(work, inputs, records))
    if not work.step.emits:
        return measured(work, output)
    accepted, rejected = _checked(records, _object_type(work, work.step.emits))
    check_rejects(work, rejected, output.sensitive)
    result = measured(
        work,
        StepOutput(records=accepted, sensitive=output.sensitive),
        Records(records.columns, [one.record for one in rejected]),
    )
    keep_rejected(work, rejected, output.sensitive)
    return result


def _sensitive(work: Work, inputs: frozenset[str], records: Records) -> frozenset[str]:
    """Declared here, or of the same name as a sensitive column of an input."""
    inherited = {name for key in inputs for name in work.context.output(key).sensitive}
    names = {column.name for column in records.columns}
    return frozenset((inherited & names) | set(work.step.sensitive))


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
