"""Validate and publish workflow definitions."""

from commands.deployment import Deployment, StoredCatalogue
from store import audit
from store.workflows import Version, publish
from workflows.validation import Checked, validate
from workflows.version import definition_json, version_hash


def validate_workflow(deployment: Deployment, text: str) -> Checked:
    """All faults of a definition; nothing is stored."""
    return validate(text, StoredCatalogue(deployment), deployment.engine)


def publish_workflow(deployment: Deployment, text: str, actor: str) -> tuple[Version, bool]:
    """Store a definition as an immutable version and make it the active one.

    Publishing the same definition again returns the version that is there. Raises `InvalidDefinition`.
    """
    workflow, plan = validate_workflow(deployment, text).require()
    new = {
        "hash": version_hash(workflow),
        "definition": definition_json(workflow),
        "source": text,
        "plan": plan.to_dict(),
        "published_by": actor,
    }
    now = deployment.clock()
    with deployment.database.transaction(actor) as connection:
        done = publish(connection, workflow.workflow, workflow.name or workflow.workflow, new, now)
        version = done.version
        if version.number != done.active_before:
            audit.record(
                connection, stream="workflows", actor=actor, subject=workflow.workflow, now=now,
                action="workflow.published" if done.made else "workflow.activated",
                details={"version": version.number, "hash": version.hash, "before": done.active_before},
            )  # fmt: skip
    return version, done.made
