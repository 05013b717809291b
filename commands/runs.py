"""Start runs."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations, told
from commands.permissions import permit
from kernel.ids import new_id
from kernel.people import Person
from store import audit, runs
from store.idempotency import IdempotentRequest, earlier_result, remember
from store.runs import RunRow
from store.workflows import active_id
from workflows.inputs import check_inputs
from workflows.version import canonical_json


def start_run(
    deployment: Deployment,
    key: str,
    inputs: Mapping[str, Any],
    reason: str,
    person: Person,
    orchestrations: Orchestrations,
    idempotency_key: str | None = None,
) -> tuple[RunRow, bool]:
    """Commit a run with all its tasks, then start it. Returns the run and whether it is new.

    The pre-flight commit comes first: if starting fails after it, the sweep starts the run later.
    """
    permit(person, "start_run")
    run_id, now = new_id(), deployment.clock()
    asked = canonical_json({"workflow": key, "inputs": inputs, "reason": reason})
    request = IdempotentRequest(
        person.id, "start_run", idempotency_key or "", hashlib.sha256(asked.encode()).hexdigest()
    )
    with deployment.database.transaction(person.id, swift=True) as connection:
        earlier = earlier_result(connection, request) if idempotency_key else None
        if earlier is not None:
            row = runs.get_run(connection, UUID(earlier["run_id"]))
            return row, False
        version_id, number = active_id(connection, key)
        workflow = deployment.definitions.of(connection, version_id).workflow
        run = {
            "id": run_id,
            "workflow": key,
            "version_id": version_id,
            "environment": deployment.environment,
            "inputs": check_inputs(workflow, inputs),
            "requested_by": person.id,
            "reason": reason,
            "created_at": now,
        }
        row = runs.insert_run(connection, run, [(step.key, step.kind) for step in workflow.steps])
        audit.record(
            connection, stream=audit.run_stream(run_id), actor=person.id, action="run.started",
            subject=str(run_id), details={"workflow": key, "version": number}, now=now,
        )  # fmt: skip
        if idempotency_key:
            remember(connection, request, {"run_id": str(run_id)}, now)
    told(run_id, lambda: orchestrations.start(run_id))
    return row, True
