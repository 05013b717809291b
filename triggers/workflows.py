"""Endpoints for workflow definitions."""

from typing import Any

from pydantic import RootModel

from commands.workflows import publish_workflow, validate_workflow
from kernel.errors import NotFound
from store.workflows import active_version, list_versions, list_workflows
from triggers.http import Answer, Endpoint, Request
from triggers.views import FaultView, Page, ValidationView, VersionView, WorkflowView
from workflows.model import Workflow


class JsonSchema(RootModel[dict[str, Any]]):
    """A JSON Schema."""


def publish(request: Request) -> Answer:
    """Publish a definition as the active version."""
    version, made = publish_workflow(request.deployment, request.text(), request.person)
    location = {"Location": f"/api/workflows/{version.workflow}"}
    return Answer(VersionView.of(version), 201 if made else 200, location)


def validate(request: Request) -> Answer:
    """Check a definition without publishing it."""
    checked = validate_workflow(request.deployment, request.text())
    faults = [FaultView.model_validate(fault) for fault in checked.faults]
    segments = [list(segment.steps) for segment in checked.plan.segments] if checked.plan else []
    return Answer(ValidationView(valid=not checked.errors, faults=faults, segments=segments))


def index(request: Request) -> Answer:
    """List workflows by key."""
    with request.deployment.database.reading() as connection:
        rows = list_workflows(connection, request.query("cursor") or "", request.limit + 1)
    items = [WorkflowView.of(row) for row in rows[: request.limit]]
    return Answer(Page[WorkflowView](items=items, next=items[-1].key if len(rows) > request.limit else None))


def show(request: Request) -> Answer:
    """The active version of a workflow."""
    with request.deployment.database.reading() as connection:
        return Answer(VersionView.of(active_version(connection, request.path("key"))))


def versions(request: Request) -> Answer:
    """All versions of a workflow, newest first."""
    with request.deployment.database.reading() as connection:
        found = list_versions(connection, request.path("key"))
    if not found:
        raise NotFound(f"There is no workflow {request.path('key')!r}.")
    return Answer(Page[VersionView](items=[VersionView.of(version) for version in found]))


def schema(_request: Request) -> Answer:
    """The JSON Schema of workflow definitions."""
    return Answer(JsonSchema(Workflow.model_json_schema(by_alias=True)))


ENDPOINTS = (
    Endpoint(
        "workflows_publish",
        "POST",
        "workflows",
        "Publish a workflow definition (YAML or JSON)",
        publish,
        VersionView,
        takes="text",
        status=201,
        also=(200,),
        command="publish_workflow",
    ),
    Endpoint(
        "workflows_validate",
        "POST",
        "workflows/validate",
        "Check a definition without publishing it",
        validate,
        ValidationView,
        takes="text",
        command="validate_workflow",
    ),
    Endpoint(
        "workflows_list",
        "GET",
        "workflows",
        "List workflows",
        index,
        Page[WorkflowView],
        query={"cursor": "Where to go on", "limit": "Items a page"},
        command="list_workflows",
    ),
    Endpoint(
        "workflows_get",
        "GET",
        "workflows/{key}",
        "The active version of a workflow",
        show,
        VersionView,
        command="get_workflow",
    ),
    Endpoint(
        "workflows_versions",
        "GET",
        "workflows/{key}/versions",
        "All versions of a workflow",
        versions,
        Page[VersionView],
        command="get_workflow",
    ),
    Endpoint(
        "schemas_workflow",
        "GET",
        "schemas/workflow.json",
        "JSON Schema of definitions",
        schema,
        JsonSchema,
        command="get_workflow",
    ),
)
