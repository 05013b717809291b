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
        version, made = publish(connection, workflow.workflow, workflow.name or workflow.workflow, new, now)
        if made:
            details = {"version": version.number, "hash": version.hash}
            audit.record(
                connection, stream="workflows", actor=actor, action="workflow.published",
                subject=workflow.workflow, details=details, now=now,
            )  # fmt: skip
    return version, made
