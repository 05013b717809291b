"""Fan-out and nested runs: chunks, whose they are, and parents of runs."""

from alembic import context, op

revision = "0003"
down_revision = "0002"

_CHUNKS = """
CREATE TABLE sluice.chunk_run (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES sluice.workflow_run (id),
    step_key text NOT NULL,
    number integer NOT NULL,
    key_digest text NOT NULL,
    shown jsonb NOT NULL,
    state text NOT NULL CONSTRAINT chunk_run_state_check
        CHECK (state IN ('PENDING','RUNNING','SUSPENDED','SUCCEEDED','FAILED','CANCELLED','SKIPPED')),
    attempt integer NOT NULL DEFAULT 0,
    starts integer NOT NULL DEFAULT 0,
    execution integer NOT NULL,
    page integer NOT NULL,
    wake_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    failure jsonb,
    child_run_id uuid REFERENCES sluice.workflow_run (id),
    CONSTRAINT chunk_run_number_key UNIQUE (run_id, step_key, number),
    CONSTRAINT chunk_run_record_key UNIQUE (run_id, step_key, key_digest)
);
CREATE INDEX chunk_run_state ON sluice.chunk_run (run_id, step_key, state, number);
CREATE INDEX chunk_run_page ON sluice.chunk_run (run_id, step_key, execution, page);
"""

_CHANGES = """
ALTER TABLE sluice.task_run
    ADD COLUMN chunk_id uuid REFERENCES sluice.chunk_run (id),
    ADD COLUMN planning jsonb,
    DROP CONSTRAINT task_run_step_key,
    ADD CONSTRAINT task_run_step_key UNIQUE NULLS NOT DISTINCT (run_id, chunk_id, step_key);
ALTER TABLE sluice.posting
    ADD COLUMN chunk_id uuid REFERENCES sluice.chunk_run (id);
ALTER TABLE sluice.dead_letter
    ADD COLUMN chunk_id uuid REFERENCES sluice.chunk_run (id),
    DROP CONSTRAINT dead_letter_record_key,
    ADD CONSTRAINT dead_letter_record_key UNIQUE NULLS NOT DISTINCT (run_id, chunk_id, step_key, digest);
ALTER TABLE sluice.workflow_run
    ADD COLUMN parent_run_id uuid REFERENCES sluice.workflow_run (id),
    ADD COLUMN parent_step text,
    ADD COLUMN parent_chunk_id uuid,
    ADD COLUMN root_run_id uuid REFERENCES sluice.workflow_run (id),
    ADD COLUMN depth integer NOT NULL DEFAULT 0,
    ADD COLUMN detached boolean NOT NULL DEFAULT false;
CREATE INDEX workflow_run_parent ON sluice.workflow_run (parent_run_id, parent_step)
    WHERE parent_run_id IS NOT NULL;
CREATE INDEX posting_chunk ON sluice.posting (chunk_id) WHERE chunk_id IS NOT NULL;
CREATE INDEX dead_letter_chunk ON sluice.dead_letter (chunk_id) WHERE chunk_id IS NOT NULL;
"""

# Joins the rows of one statement by hash or merge; see the other recorders.
_RECORDER = """
CREATE FUNCTION sluice.record_chunk_run_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
    who text := coalesce(nullif(current_setting('sluice.actor', true), ''), 'database:' || session_user);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT 'chunk_run', new_rows.id, NULL, new_rows.state, who, clock_timestamp() FROM new_rows;
    ELSE
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT 'chunk_run', new_rows.id, old_rows.state, new_rows.state, who, clock_timestamp()
        FROM new_rows JOIN old_rows USING (id)
        WHERE new_rows.state IS DISTINCT FROM old_rows.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON sluice.chunk_run
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_chunk_run_transition();
CREATE TRIGGER record_update AFTER UPDATE ON sluice.chunk_run
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_chunk_run_transition();
"""


def upgrade() -> None:
    """Add chunks and parents; the application role may read and move chunks, not delete them."""
    op.execute(_CHUNKS)
    op.execute(_CHANGES)
    op.execute(_RECORDER)
    role = context.config.attributes["app_role"]
    quoted = op.get_bind().dialect.identifier_preparer.quote_identifier(role)
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON sluice.chunk_run TO {quoted}")
