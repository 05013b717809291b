"""Makes the application's environment out of the running services: settings, schema, containers, secrets."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg

from kernel.errors import Unavailable
from kernel.secrets import Secret
from localhost.host.hub_database import SETTING
from localhost.services import databases
from localhost.services.ports import LOOPBACK
from localhost.services.stack import Endpoints
from localhost.services.valuefile import ValueFile
from store.blobs import Blobs
from store.gates import Gates
from store.migrate import upgrade

KEY_NAME = "key-encryption-key"


def prepare(
    endpoints: Endpoints, root: Path, state_dir: Path, progress: Callable[[str], None]
) -> dict[str, str]:
    """Bring database, storage and example ERP up to date; returns the application's environment variables."""
    progress("Bringing the database schema up to date")
    upgrade(Secret(endpoints.migration_url), databases.APP)
    storage = Secret(endpoints.storage_connection_string)
    Blobs(storage).ensure_containers()
    Gates(storage).ensure_table()
    _prepare_erp(endpoints, root / "examples" / "erp" / "schema.sql")
    return _settings(endpoints, root, state_dir)


def _prepare_erp(endpoints: Endpoints, script: Path) -> None:
    try:
        with psycopg.connect(
            host=endpoints.erp_host,
            port=endpoints.erp_port,
            dbname=endpoints.erp_database,
            user=endpoints.erp_user,
            password=endpoints.erp_password,
        ) as connection:
            connection.execute(script.read_bytes())
    except psycopg.OperationalError as exc:
        where = f"{endpoints.erp_host}:{endpoints.erp_port}"
        raise Unavailable(f"The example ERP at {where} does not answer; start the demo again.") from exc


def _settings(endpoints: Endpoints, root: Path, state_dir: Path) -> dict[str, str]:
    keys = ValueFile(state_dir / "keys.json")
    vault_file = state_dir / "vault.json"
    vault = ValueFile(vault_file)
    vault.keep("erp-password", endpoints.erp_password)
    vault.keep("files-connection", endpoints.storage_connection_string)
    return {
        **os.environ,
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": "8",
        "AzureWebJobsStorage": endpoints.storage_connection_string,
        "DATABASE_URL": endpoints.database_url,
        "SLUICE_ENVIRONMENT": "sandbox",
        "SLUICE_IDENTITY": "local",
        "SLUICE_MAIL": "smtp",
        "SLUICE_MAIL_FROM": "Sluice <sluice@localhost>",
        "SLUICE_SMTP_HOST": LOOPBACK,
        "SLUICE_SMTP_PORT": str(endpoints.smtp_port),
        "SLUICE_SMTP_SECURITY": "none",
        "SLUICE_PUBLIC_URL": f"http://{LOOPBACK}:7071",
        "SLUICE_LINK_KEYS": keys.recall("link-key", _new_key),
        "SLUICE_KEY_ENCRYPTION_KEY": keys.recall(KEY_NAME, _new_key),
        "SLUICE_PEOPLE_FILE": str(root / "examples" / "people.json"),
        "SLUICE_SECRETS_FILE": str(vault_file),
        "SLUICE_TASK_HUB": "sluicelocal",
        SETTING: endpoints.hub_url,
        "WEBSITE_AUTH_ENABLED": "false",
    }


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
