"""Identity from the socket on: the app on a host, as callers meet it."""

import base64
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from kernel.clock import utc_now
from localhost.host.hub_database import SETTING
from localhost.services import databases
from localhost.services.stack import Stack
from tests.host.process import HostProcess, run_to_end
from tests.support.services import PROJECT, Database, fresh_database


@pytest.fixture(scope="module")
def place(
    services: Stack, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """The environment of an app with a database of this module alone."""
    with fresh_database(services, template=template) as made:
        hub = f"{made.name}_hub"
        with services.postgres.connect() as connection:
            databases.create_database(connection, hub, owner=databases.HUB)
        yield environment(services, made, services.postgres.url(hub, databases.HUB).replace("+psycopg", ""))
        with services.postgres.connect() as connection:
            databases.drop_database(connection, hub)


def environment(services: Stack, made: Database, hub: str) -> dict[str, str]:
    return {
        "AzureWebJobsStorage": services.endpoints.storage_connection_string,
        "DATABASE_URL": made.app_url,
        "SLUICE_IDENTITY": "local",
        "SLUICE_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
        "SLUICE_TASK_HUB": "identity",
        SETTING: hub,
    }


@pytest.fixture(scope="module")
def client(place: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of the running app."""
    with HostProcess(PROJECT, tmp_path_factory.mktemp("host"), environment=place) as host:
        yield host.client


def status(client: httpx2.Client, path: str, **headers: str) -> int:
    """What a request is answered with; `_` in names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return int(client.get(path, headers=named).status_code)


def test_people_of_this_machine_are_let_in(client: httpx2.Client) -> None:
    assert status(client, "/api/runs", X_Sluice_Person="vera") == 200
    assert status(client, "/api/api-keys", X_Sluice_Person="vera") == 403
    assert status(client, "/api/api-keys", X_Sluice_Person="ada") == 200


def test_nobody_is_told_how_to_sign_in(client: httpx2.Client) -> None:
    answer = client.get("/api/runs")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "X-Sluice-Person" in answer.json()["detail"]


def test_others_are_not_let_in(client: httpx2.Client) -> None:
    for elsewhere in (
        {"Host": "evil.example.com"},
        {"X_Forwarded_For": "192.168.1.8"},
        {"Origin": "https://evil.example.com"},
    ):
        assert status(client, "/api/runs", X_Sluice_Person="ada", **elsewhere) == 401
    assert status(client, "/api/runs", X_MS_CLIENT_PRINCIPAL=base64.b64encode(b"{}").decode()) == 401
    assert status(client, "/api/runs", X_MS_CLIENT_PRINCIPAL_NAME="ada", X_MS_CLIENT_PRINCIPAL_ID="1") == 401


def test_a_key_is_made_used_and_revoked(client: httpx2.Client) -> None:
    ada, expires = {"X-Sluice-Person": "ada"}, (utc_now() + timedelta(days=1)).isoformat()
    body = {"name": "nightly", "roles": ["viewer"], "scopes": ["list_runs"], "expires_at": expires}
    made = client.post("/api/api-keys", json=body, headers=ada).json()
    assert status(client, "/api/runs", X_Api_Key=made["secret"]) == 200
    anywhere = {"Authorization": f"Bearer {made['secret']}", "Host": "sluice.example.com"}
    assert status(client, "/api/runs", **anywhere) == 200
    assert status(client, "/api/workflows", X_Api_Key=made["secret"]) == 403
    client.post(f"/api/api-keys/{made['key']['id']}/revoke", json={}, headers=ada)
    assert status(client, "/api/runs", X_Api_Key=made["secret"]) == 401


def test_addresses_that_anyone_may_ask(client: httpx2.Client) -> None:
    assert status(client, "/api/health/live") == 200
    assert status(client, "/api/openapi.json") == 200
    for path in ("/api/nothing", "/nothing/here", "/runs"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    refused = client.patch("/api/runs")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, OPTIONS")


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("WEBSITE_INSTANCE_ID", "4f8a0c", "WEBSITE_INSTANCE_ID says that this is Azure"),
        ("SLUICE_IDENTITY", "", "SLUICE_TENANT_ID is missing"),
        ("SLUICE_PEOPLE_FILE", "nothing.json", "nothing.json cannot be read"),
    ],
)
def test_the_app_refuses_to_start_open(
    place: Mapping[str, str], tmp_path: Path, setting: str, value: str, words: str
) -> None:
    state = ("--port", "0", "--state", str(tmp_path))
    code, out, err = run_to_end(PROJECT, *state, environment={**place, setting: value})
    assert code != 0
    assert words in out + err
