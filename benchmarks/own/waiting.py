"""How runs of this engine wait for a person, and how they are let go: the one place to change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.own.definitions import WAIT

if TYPE_CHECKING:
    from benchmarks.own.engine import Sluice

APPROVER = "carla"
"""One of the test people that the definition asks; who starts the runs may not approve them."""
_ASKED = """
SELECT run.inputs ->> 'unit', approval.id::text FROM sluice.approval
JOIN sluice.workflow_run AS run ON run.id = approval.run_id WHERE approval.state = 'REQUESTED'
"""


class Waiting:
    """Runs that wait for an approval of what they are going to push."""

    def __init__(self, engine: "Sluice") -> None:
        self._engine = engine
        self._approvals: dict[str, str] = {}

    def suspend_all(self, units: Sequence[str]) -> None:
        """Start runs; all of them ask, and their orchestrations wait."""
        self._engine.many(self._begin, units)
        self._engine.await_states(WAIT, "SUSPENDED", len(units))
        self._engine.await_told()
        self._approvals = dict(self._engine.rows(_ASKED))

    def signal(self, unit: str) -> None:
        """Approve one."""
        path = f"approvals/{self._approvals[unit]}/decisions"
        self._engine.call("POST", path, {"decision": "approve"}, 200, APPROVER)

    def _begin(self, unit: str) -> None:
        self._engine.begin(WAIT, {"unit": unit})
