"""Endpoints for connectors, business object types and files."""

from commands.connectors import save_connector, save_object_type
from commands.files import upload_file
from kernel.errors import InvalidRequest
from store.connectors import get_connector, list_connectors
from store.object_types import object_types
from triggers.http import Answer, Endpoint, Request
from triggers.views import ConnectorView, FileView, ObjectTypeView, Page, SaveConnector, SaveObjectType
from workflows.model import name_pattern


def save(request: Request) -> Answer:
    """Create or replace a connector."""
    key, given = _named(request.path("key"), "-"), request.body(SaveConnector)
    row, created = save_connector(
        request.deployment, key, given.system, given.settings, given.secrets, request.person
    )
    return Answer(ConnectorView.of(row), 201 if created else 200, {"Location": f"/api/connectors/{key}"})


def index(request: Request) -> Answer:
    """All connectors."""
    with request.deployment.database.reading() as connection:
        rows = list_connectors(connection)
    return Answer(Page[ConnectorView](items=[ConnectorView.of(row) for row in rows]))


def show(request: Request) -> Answer:
    """One connector."""
    with request.deployment.database.reading() as connection:
        return Answer(ConnectorView.of(get_connector(connection, request.path("key"))))


def save_type(request: Request) -> Answer:
    """Create or replace a business object type."""
    name = _named(request.path("name"), "_")
    save_object_type(request.deployment, name, request.body(SaveObjectType).json_schema, request.person)
    return Answer(ObjectTypeView(name=name))


def list_types(request: Request) -> Answer:
    """All business object types."""
    with request.deployment.database.reading() as connection:
        names = sorted(object_types(connection))
    return Answer(Page[ObjectTypeView](items=[ObjectTypeView(name=name) for name in names]))


def upload(request: Request) -> Answer:
    """Store a file's bytes under a name."""
    overwrite = (request.query("overwrite") or "false").lower() == "true"
    stored = upload_file(
        request.deployment, request.path("name"), request.content(), request.person, overwrite=overwrite
    )
    return Answer(FileView.model_validate(stored), 201)


def _named(name: str, joiner: str) -> str:
    if not name_pattern(joiner).fullmatch(name):
        raise InvalidRequest(f"{name!r} is not a name; use lower case letters, digits and {joiner!r}.")
    return name


ENDPOINTS = (
    Endpoint(
        "connectors_save",
        "PUT",
        "connectors/{key}",
        "Create or replace a connector",
        save,
        ConnectorView,
        takes=SaveConnector,
        status=201,
        also=(200,),
        command="save_connector",
    ),
    Endpoint(
        "connectors_list",
        "GET",
        "connectors",
        "List connectors",
        index,
        Page[ConnectorView],
        command="list_connectors",
    ),
    Endpoint(
        "connectors_get",
        "GET",
        "connectors/{key}",
        "One connector",
        show,
        ConnectorView,
        command="get_connector",
    ),
    Endpoint(
        "object_types_save",
        "PUT",
        "object-types/{name}",
        "Create or replace a business object type",
        save_type,
        ObjectTypeView,
        takes=SaveObjectType,
        command="save_object_type",
    ),
    Endpoint(
        "object_types_list",
        "GET",
        "object-types",
        "List business object types",
        list_types,
        Page[ObjectTypeView],
        command="list_object_types",
    ),
    Endpoint(
        "files_upload",
        "PUT",
        "files/{*name}",
        "Upload a file",
        upload,
        FileView,
        takes="bytes",
        status=201,
        query={"overwrite": "`true` replaces other content of the same name"},
        command="upload_file",
    ),
)
