"""The tables of schema `taskhub`, and how they come to be.

`hub` has one row per task hub with its present owner. `epoch` grows with every new owner; a transaction that
carries an older one is refused by `assert_owner`, so that a process that lost its hub can never write again.
Not stored, because history says it: running activities, armed timers, open entity calls.
"""

import asyncpg

from localhost.taskhub.errors import HubUnavailable

# Rows are updated in place a few times, messages come and go quickly: hence the storage parameters.
# Every index but the primary key is partial, so that the journal cannot use it: its statement is planned
# while the tables are still empty, and with the wrong index it would get slower with every instance.
_VERSION_1 = """
CREATE TABLE taskhub.schema_version (version integer NOT NULL);
INSERT INTO taskhub.schema_version VALUES (0);

CREATE TABLE taskhub.hub (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    epoch bigint NOT NULL DEFAULT 0,
    owner_pid integer,
    owner_host text,
    owner_since timestamptz
);

CREATE TABLE taskhub.instance (
    hub integer NOT NULL,
    id text NOT NULL,
    execution bigint NOT NULL,
    status smallint NOT NULL,
    live boolean NOT NULL,
    created timestamptz NOT NULL,
    completed timestamptz,
    root text NOT NULL,
    parent_id text,
    parent_execution bigint,
    parent_link bytea,
    input bytea,
    state bytea NOT NULL,
    trace bytea NOT NULL,
    PRIMARY KEY (hub, id)
) WITH (fillfactor = 70);
CREATE INDEX instance_created ON taskhub.instance (hub, created, id) WHERE status >= 0;
CREATE INDEX instance_parent ON taskhub.instance (hub, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX instance_live ON taskhub.instance (hub) WHERE live;

CREATE TABLE taskhub.history (
    hub integer NOT NULL,
    execution bigint NOT NULL,
    sequence integer NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (hub, execution, sequence)
);

CREATE TABLE taskhub.message (
    hub integer NOT NULL,
    id bigint NOT NULL,
    target text NOT NULL,
    visible timestamptz,
    event bytea NOT NULL,
    PRIMARY KEY (hub, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE TABLE taskhub.entity (
    hub integer NOT NULL,
    id text NOT NULL,
    state bytea,
    modified timestamptz NOT NULL,
    lock_section text,
    lock_owner text,
    PRIMARY KEY (hub, id)
);

CREATE FUNCTION taskhub.assert_owner(wanted_hub integer, wanted_epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM taskhub.hub WHERE id = wanted_hub AND epoch = wanted_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % is no longer that of task hub %', wanted_epoch, wanted_hub
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;
"""

_STEPS = (_VERSION_1,)
VERSION = len(_STEPS)

# Any number will do that no other program uses for this purpose: "taskhub" in ASCII.
_SCHEMA_LOCK = 0x7461736B687562


_EXISTS = """
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'taskhub' AND tablename = 'schema_version')
"""


async def prepare(connection: asyncpg.Connection) -> None:
    """Bring the schema to this program's version. Safe to repeat, and for several processes at once.

    Raises HubUnavailable if a newer program has already changed the schema.
    """
    if await _version(connection) == VERSION:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        found = await _version(connection)
        if found > VERSION:
            raise HubUnavailable(
                f"The task hub tables have version {found}, this program knows {VERSION}: "
                "use the newer program, or give this one a database of its own."
            )
        if found == 0:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS taskhub")
        for step in _STEPS[found:]:
            await connection.execute(step)
        await connection.execute("UPDATE taskhub.schema_version SET version = $1", VERSION)


async def _version(connection: asyncpg.Connection) -> int:
    # Not `to_regclass`: within a transaction it may not see what another process has just committed.
    if not await connection.fetchval(_EXISTS):
        return 0
    return int(await connection.fetchval("SELECT version FROM taskhub.schema_version"))
