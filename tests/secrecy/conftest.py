"""The scene, played once, with everything it left."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from localhost.services import databases
from localhost.services.stack import Stack
from tests.integration.conftest import erp_template, erp_url, migrated, template, world
from tests.secrecy.canaries import SECRETS, VALUES, WRONG_ACCOUNT_KEY, Canary, canary
from tests.secrecy.places import Place
from tests.secrecy.scene import Scene, Sites
from tests.support.adapter_fixtures import erp_server
from tests.support.erp_server.client import ErpServer
from tests.support.services import fresh_database
from tests.support.world import closing, make_world

__all__ = ["erp_server", "erp_template", "erp_url", "migrated", "template", "world"]


@dataclass(frozen=True)
class Evidence:
    """Everything that was written or said, and what must not be in it."""

    scene: Scene
    places: list[Place] = field(repr=False)
    canaries: list[Canary] = field(repr=False)


@pytest.fixture(scope="module")
def evidence(
    services: Stack, template: str, erp_template: str, erp_server: ErpServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evidence]:  # fmt: skip
    """The scene after the last act."""
    folder = tmp_path_factory.mktemp("secrecy")
    storage = services.endpoints.storage_connection_string
    with fresh_database(services, template=template) as made:
        erp_name, hub_name = f"{made.name}_erp", f"{made.name}_hub"
        with services.postgres.connect() as connection:
            databases.create_database(connection, erp_name, owner=databases.ERP, template=erp_template)
            databases.create_database(connection, hub_name, owner=databases.HUB)
        urls = [
            services.postgres.url(name, role).replace("+psycopg", "")
            for name, role in ((erp_name, databases.ERP), (hub_name, databases.HUB))
        ]
        sites = Sites(made.app_url, made.owner_url, urls[1], storage, folder)
        with closing(make_world(made.app_url, made.owner_url, urls[0], storage)) as world:
            secrets = _secrets(storage, urls[0])
            scene = Scene(sites, world, erp_server, secrets)
            try:
                scene.play()
                yield Evidence(scene, scene.places(), _canaries(secrets))
            finally:
                scene.host.close()
        with services.postgres.connect() as connection:
            for name in (erp_name, hub_name):
                databases.drop_database(connection, name)


def _secrets(storage: str, erp_url: str) -> dict[str, str]:
    parts = dict(part.split("=", 1) for part in storage.split(";") if part)
    wrong = SECRETS["wrong-files-connection"].format(
        account=parts["AccountName"], key=WRONG_ACCOUNT_KEY, endpoint=parts["BlobEndpoint"]
    )
    password = str(psycopg.conninfo.conninfo_to_dict(erp_url)["password"])
    real = {"files-connection": storage, "sql-password": password, "wrong-files-connection": wrong}
    return {**SECRETS, **real}


def _canaries(secrets: dict[str, str]) -> list[Canary]:
    keys = [part for part in secrets["files-connection"].split(";") if part.startswith("AccountKey=")]
    single = {name: value for name, value in secrets.items() if "connection" not in name}
    named = {**VALUES, **single, "account key": keys[0].removeprefix("AccountKey="),
             "wrong account key": WRONG_ACCOUNT_KEY, "access token": "token-canary-"}  # fmt: skip
    return [canary(name, value) for name, value in named.items()]
