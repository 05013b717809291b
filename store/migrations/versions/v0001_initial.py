"""The first tables: workflows, runs, tasks, transitions, postings, connectors, dead letters, audit."""

from alembic import context, op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE sluice.workflow (
    key text PRIMARY KEY,
    name text NOT NULL,
    active_version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE sluice.workflow_version (
    id uuid PRIMARY KEY,
    workflow text NOT NULL REFERENCES sluice.workflow (key),
    number integer NOT NULL,
    hash text NOT NULL,
    definition jsonb NOT NULL,
    source text NOT NULL,
    plan jsonb NOT NULL,
    published_by text NOT NULL,
    published_at timestamptz NOT NULL,
    CONSTRAINT workflow_version_number_key UNIQUE (workflow, number),
    CONSTRAINT workflow_version_hash_key UNIQUE (workflow, hash)
);
CREATE TABLE sluice.workflow_run (
    id uuid PRIMARY KEY,
    workflow text NOT NULL,
    version_id uuid NOT NULL REFERENCES sluice.workflow_version (id),
    environment text NOT NULL,
    state text NOT NULL CONSTRAINT workflow_run_state_check
        CHECK (state IN ('PENDING','RUNNING','SUSPENDED','SUCCEEDED','FAILED','CANCELLED')),
    inputs jsonb NOT NULL,
    requested_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    failure jsonb,
    totals jsonb,
    context_key bytea
);
CREATE INDEX workflow_run_created ON sluice.workflow_run (created_at, id);
CREATE INDEX workflow_run_workflow ON sluice.workflow_run (workflow, created_at);
CREATE INDEX workflow_run_state ON sluice.workflow_run (state, created_at);
CREATE TABLE sluice.task_run (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES sluice.workflow_run (id),
    step_key text NOT NULL,
    position integer NOT NULL,
    verb text NOT NULL,
    state text NOT NULL CONSTRAINT task_run_state_check
        CHECK (state IN ('PENDING','RUNNING','SUSPENDED','SUCCEEDED','FAILED','CANCELLED','SKIPPED')),
    attempt integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    finished_at timestamptz,
    counts jsonb,
    measures jsonb,
    failure jsonb,
    CONSTRAINT task_run_step_key UNIQUE (run_id, step_key)
);
CREATE TABLE sluice.state_transition (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    before text,
    after text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX state_transition_entity ON sluice.state_transition (entity_id, id);
CREATE TABLE sluice.posting (
    id uuid PRIMARY KEY,
    idempotency_key text NOT NULL,
    connector text NOT NULL,
    environment text NOT NULL,
    operation text NOT NULL,
    digest text NOT NULL,
    state text NOT NULL CONSTRAINT posting_state_check
        CHECK (state IN ('INTENDED','SENT','CONFIRMED','REJECTED','IN_DOUBT')),
    run_id uuid NOT NULL REFERENCES sluice.workflow_run (id),
    step_key text NOT NULL,
    claim uuid NOT NULL,
    external_id text,
    reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT posting_idempotency_key_key UNIQUE (idempotency_key)
);
CREATE INDEX posting_run ON sluice.posting (run_id, step_key, state);
CREATE TABLE sluice.connector (
    key text PRIMARY KEY,
    system text NOT NULL,
    settings jsonb NOT NULL,
    secrets jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE sluice.business_object_type (
    name text PRIMARY KEY,
    schema jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE sluice.dead_letter (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES sluice.workflow_run (id),
    step_key text NOT NULL,
    digest text NOT NULL,
    reason text NOT NULL,
    faults jsonb NOT NULL,
    record jsonb NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT dead_letter_record_key UNIQUE (run_id, step_key, digest)
);
CREATE TABLE sluice.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL,
    CONSTRAINT audit_event_sequence_key UNIQUE (stream, sequence)
);
CREATE TABLE sluice.idempotency_record (
    actor text NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    digest text NOT NULL,
    result jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (actor, operation, key)
);
"""

# Statement-level: a batch of a thousand changes costs one INSERT. SECURITY DEFINER: the application role
# may not write state_transition itself, so nobody can record a change that did not happen, or hide one.
_RECORDER = """
CREATE FUNCTION sluice.record_{entity}_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who text := coalesce(nullif(current_setting('sluice.actor', true), ''), 'database:' || session_user);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT '{entity}', new_rows.id, NULL, new_rows.state, who, clock_timestamp() FROM new_rows;
    ELSE
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT '{entity}', new_rows.id, old_rows.state, new_rows.state, who, clock_timestamp()
        FROM new_rows JOIN old_rows USING (id)
        WHERE new_rows.state IS DISTINCT FROM old_rows.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON sluice.{entity}
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_{entity}_transition();
CREATE TRIGGER record_update AFTER UPDATE ON sluice.{entity}
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_{entity}_transition();
"""

_GRANTS = """
GRANT USAGE ON SCHEMA sluice TO {role};
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA sluice TO {role};
REVOKE UPDATE ON sluice.workflow_version, sluice.audit_event FROM {role};
REVOKE INSERT, UPDATE ON sluice.state_transition FROM {role};
GRANT DELETE ON sluice.idempotency_record TO {role};
"""


def upgrade() -> None:
    """Create everything and grant the application role what it needs, which is no DDL and few deletes."""
    op.execute(_TABLES)
    for entity in ("workflow_run", "task_run", "posting"):
        op.execute(_RECORDER.format(entity=entity))
    role = context.config.attributes["app_role"]
    op.execute(_GRANTS.format(role=op.get_bind().dialect.identifier_preparer.quote_identifier(role)))
