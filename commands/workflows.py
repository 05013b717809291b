"""Validate and publish workflow definitions."""

from typing import Any

from sqlalchemy import Connection

from commands.deployment import Deployment, StoredCatalogue
from commands.permissions import permit
from kernel.people import Person
from store import audit
from store.workflows import Published, Version, lock_references, publish
from workflows.planning import Plan
from workflows.validation import Checked, validate
from workflows.version import definition_json, version_hash


def validate_workflow(deployment: Deployment, text: str, connection: Connection | None = None) -> Checked:
    """All faults of a definition; nothing is stored. Judged by what the transaction of `connection` sees, if
    there is one."""
    return validate(text, StoredCatalogue(deployment, connection), deployment.engine)


def publish_workflow(deployment: Deployment, text: str, person: Person) -> tuple[Version, bool]:
    """Store a definition as an immutable version and make it the active one.

    Publishing the same definition again returns the version that is there, unless a workflow it is pinned to
    has another active version by now. Raises `InvalidDefinition`.
    """
    permit(person, "publish_workflow")
    checked = validate_workflow(deployment, text)
    workflow, plan = checked.require()
    with deployment.database.transaction(person.id) as connection:
        if any(workflow.children()):
            lock_references(connection)
            checked = validate_workflow(deployment, text, connection)
            workflow, plan = checked.require()
        new = {
            "hash": version_hash(workflow, checked.pinned),
            "definition": definition_json(workflow),
            "source": text,
            "plan": plan.to_dict(),
            "published_by": person.id,
        }
        now = deployment.clock()
        done = publish(connection, workflow.workflow, workflow.name or workflow.workflow, new, now)
        if done.version.number != done.active_before:
            audit.record(
                connection, stream="workflows", actor=person.id, subject=workflow.workflow, now=now,
                action="workflow.published" if done.made else "workflow.activated",
                details=_details(done, plan),
            )  # fmt: skip
    return done.version, done.made


def _details(done: Published, plan: Plan) -> dict[str, Any]:
    said = {"version": done.version.number, "hash": done.version.hash, "before": done.active_before}
    return {**said, "pinned": dict(plan.pinned)} if plan.pinned else said
