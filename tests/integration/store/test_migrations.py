"""Migrations build exactly what the tables say, and the roles can do no more than they must."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import ProgrammingError

from kernel.secrets import Secret
from localhost.services import databases
from store import approval_tables
from store.migrate import upgrade
from store.tables import SCHEMA
from tests.support.services import Database
from tests.support.world import SMALL_LOG, World


def differences(url: str) -> list[Any]:
    """What autogeneration would change."""
    engine = create_engine(url, poolclass=pool.NullPool)

    def ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "schema" or name == SCHEMA

    def but_version(item: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return not (kind == "table" and name == "alembic_version")

    options = {
        "include_schemas": True,
        "include_name": ours,
        "include_object": but_version,
        "compare_type": True,
        "compare_server_default": True,
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, approval_tables.approval.metadata))


def test_migrations_build_what_the_tables_say(migrated: Database) -> None:
    assert differences(migrated.owner_url) == []


def test_the_comparison_can_fail(migrated: Database) -> None:
    with create_engine(migrated.owner_url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("ALTER TABLE sluice.posting ADD COLUMN surprise integer"))
    assert differences(migrated.owner_url) != []


def test_constraints_are_what_the_tables_say(migrated: Database) -> None:
    inspector = sa.inspect(create_engine(migrated.owner_url, poolclass=pool.NullPool))
    for table in approval_tables.approval.metadata.sorted_tables:
        wanted = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        found = {check["name"] for check in inspector.get_check_constraints(table.name, schema=SCHEMA)}
        assert found == wanted, table.name


def test_upgrading_again_changes_nothing(migrated: Database) -> None:
    upgrade(Secret(migrated.owner_url), databases.APP)
    assert differences(migrated.owner_url) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sluice.audit_event SET actor = 'nobody'",
        "DELETE FROM sluice.audit_event",
        "TRUNCATE sluice.audit_event",
        "INSERT INTO sluice.state_transition (entity, entity_id, after, actor, at)"
        " VALUES ('workflow_run', gen_random_uuid(), 'SUCCEEDED', 'me', now())",
        "UPDATE sluice.state_transition SET actor = 'nobody'",
        "DELETE FROM sluice.state_transition",
        "DELETE FROM sluice.posting",
        "UPDATE sluice.workflow_version SET hash = ''",
        "CREATE TABLE sluice.mine (id integer)",
        "ALTER TABLE sluice.workflow_run DISABLE TRIGGER ALL",
        "DROP TRIGGER record_update ON sluice.workflow_run",
    ],
)
def test_the_application_role_cannot(migrated: Database, statement: str) -> None:
    engine = create_engine(migrated.app_url, poolclass=pool.NullPool)
    with pytest.raises(ProgrammingError, match=r"denied|must be owner"), engine.begin() as connection:
        connection.execute(text(statement))


def test_every_state_change_is_recorded_with_its_actor(world: World) -> None:
    world.publish()
    run = world.post(SMALL_LOG)
    changes = world.sql(
        "SELECT before, after, actor FROM sluice.state_transition WHERE entity_id = %s ORDER BY id", [run.id]
    )
    assert changes == [
        (None, "PENDING", "local:ada"),
        ("PENDING", "RUNNING", "sluice"),
        ("RUNNING", "SUCCEEDED", "sluice"),
    ]
    postings = world.sql(
        "SELECT before, after, count(*) FROM sluice.state_transition WHERE entity = 'posting'"
        " GROUP BY 1, 2 ORDER BY min(id)"
    )
    assert postings == [(None, "INTENDED", 2), ("INTENDED", "SENT", 2), ("SENT", "CONFIRMED", 2)]


def test_a_change_behind_the_application_is_recorded_too(world: World) -> None:
    world.publish()
    run = world.post(SMALL_LOG)
    engine = create_engine(
        world.owner_url.replace("postgresql", "postgresql+psycopg"), poolclass=pool.NullPool
    )
    with engine.begin() as connection:
        connection.execute(text("UPDATE sluice.workflow_run SET state = 'FAILED'"))
    [(actor,)] = world.sql(
        "SELECT actor FROM sluice.state_transition WHERE entity_id = %s AND after = 'FAILED'", [run.id]
    )
    assert actor == "database:sluice_owner"
