"""FETCH and LOOKUP: records out of a connected system."""

from activities.verbs.measuring import measured
from activities.work import Result, Work
from adapters.contract import Adapter
from kernel.errors import ExternalNotFound
from kernel.records import Column, Records
from workflows.model import Call, Fetch, Lookup
from workflows.rows import from_values


def fetch(work: Work, call: Fetch) -> Result:
    """All pages of the operation."""
    with work.adapter(call) as adapter:
        records: Records | None = None
        for page in adapter.fetch(call.operation, work.parameters(call)):
            work.check_time()
            if records is None:
                records = Records(page.columns)
                work.hearing.hand(records.rows, work.step.sensitive)
            records.extend(page.rows)
        if records is None:
            records = Records(_columns(work, call, adapter))
    return measured(work, records, frozenset(work.step.sensitive))


def lookup(work: Work, call: Lookup) -> Result:
    """The one record the parameters identify."""
    with work.adapter(call) as adapter:
        record = adapter.lookup(call.operation, work.parameters(call))
        if record is None:
            raise ExternalNotFound(f"The {call.operation!r} of {call.connector!r} found nothing.")
        columns = _columns(work, call, adapter)
    records = from_values(columns, [[record[column.name] for column in columns]])
    return measured(work, records, frozenset(work.step.sensitive))


def _columns(work: Work, call: Call, adapter: Adapter) -> tuple[Column, ...]:
    operation = adapter.operations[call.operation]
    return operation.columns(operation.parameters.model_validate(work.parameters(call))) or ()
