"""FETCH and LOOKUP: records out of a connected system."""

from activities.verbs.measuring import measured
from activities.work import Result, Work
from kernel.errors import ExternalNotFound
from kernel.records import Column, Records
from workflows.context import StepOutput
from workflows.rows import from_values


def fetch(work: Work) -> Result:
    """All pages of the operation."""
    call = work.step.fetch
    assert call is not None
    with work.adapter(call) as adapter:
        parameters = work.parameters(call)
        records: Records | None = None
        for page in adapter.fetch(call.operation, parameters):
            if records is None:
                records = Records(page.columns)
            records.extend(page.rows)
        if records is None:
            operation = adapter.catalogue(adapter.connector.settings)[call.operation]
            records = Records(operation.columns(operation.parameters.model_validate(parameters)) or ())
    return measured(work, StepOutput(records=records, sensitive=frozenset(work.step.sensitive)))


def lookup(work: Work) -> Result:
    """The one record the parameters identify."""
    call = work.step.lookup
    assert call is not None
    with work.adapter(call) as adapter:
        parameters = work.parameters(call)
        record = adapter.lookup(call.operation, parameters)
        if record is None:
            raise ExternalNotFound(f"The {call.operation!r} of {call.connector!r} found nothing.")
        operation = adapter.catalogue(adapter.connector.settings)[call.operation]
        columns: tuple[Column, ...] = operation.columns(operation.parameters.model_validate(parameters)) or ()
    records = from_values(columns, [[record[column.name] for column in columns]])
    return measured(work, StepOutput(records=records, sensitive=frozenset(work.step.sensitive)))
