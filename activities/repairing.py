"""A run that takes up dead letters: they stand in for the output of the step that did not go on with them."""

from activities.verbs.transform import accepted
from activities.work import Result, Work
from kernel.records import Records
from store.dead_letters import taken_up_by
from store.letter_payloads import unseal


def repaired(work: Work) -> Result | None:
    """The records that this run takes up, checked and measured as new ones are; `None` for any other step."""
    if work.replaced != work.step.key:
        return None
    with work.services.database.reading() as connection:
        letters = taken_up_by(connection, work.run.id)
    payloads = [unseal(work.services.envelope, letter.payload, letter.run_id) for letter in letters]
    records = Records(payloads[0].columns, [payload.record for payload in payloads])
    sensitive = frozenset(work.step.sensitive).union(*(payload.sensitive for payload in payloads))
    return accepted(work, records, sensitive)
