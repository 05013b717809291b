"""Executions, attempts, operator requests, what happens to dead letters, and heads of the audit streams."""

from alembic import context, op

revision = "0002"
down_revision = "0001"

_CHANGES = """
ALTER TABLE sluice.workflow_run
    ADD COLUMN execution integer NOT NULL DEFAULT 0,
    ADD COLUMN segment integer NOT NULL DEFAULT 0,
    ADD COLUMN context_execution integer NOT NULL DEFAULT 0,
    ADD COLUMN recoveries integer NOT NULL DEFAULT 0,
    ADD COLUMN starts integer NOT NULL DEFAULT 0,
    ADD COLUMN requested text
        CONSTRAINT workflow_run_requested_check CHECK (requested IN ('cancel','pause')),
    ADD COLUMN heartbeat_at timestamptz,
    ADD COLUMN wake_at timestamptz,
    ADD COLUMN deadline_at timestamptz,
    ADD COLUMN replay_of uuid REFERENCES sluice.workflow_run (id),
    ADD COLUMN repair_of uuid REFERENCES sluice.workflow_run (id),
    ADD COLUMN purged_at timestamptz;
CREATE INDEX workflow_run_open ON sluice.workflow_run (heartbeat_at)
    WHERE state IN ('RUNNING','SUSPENDED');
CREATE INDEX workflow_run_unpurged ON sluice.workflow_run (finished_at) WHERE purged_at IS NULL;
ALTER TABLE sluice.task_run
    ADD COLUMN attempts jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN batch_digest text;
ALTER TABLE sluice.posting
    ADD COLUMN shown jsonb,
    ADD COLUMN sent_at timestamptz;
CREATE INDEX posting_unsettled ON sluice.posting (id) WHERE state IN ('SENT','IN_DOUBT');
ALTER TABLE sluice.dead_letter
    ADD COLUMN state text NOT NULL DEFAULT 'OPEN'
        CONSTRAINT dead_letter_state_check CHECK (state IN ('OPEN','RETRIED','DISCARDED','SUPERSEDED')),
    ADD COLUMN resolved_by text,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolution text,
    ADD COLUMN retry_run uuid REFERENCES sluice.workflow_run (id),
    ADD COLUMN retry_payload bytea;
CREATE INDEX dead_letter_state ON sluice.dead_letter (state, id);
CREATE INDEX dead_letter_retry_run ON sluice.dead_letter (retry_run) WHERE retry_run IS NOT NULL;
CREATE INDEX audit_event_subject ON sluice.audit_event (subject, id);
CREATE INDEX audit_event_at ON sluice.audit_event (at, id);
"""

# An event goes in only behind the last one of its stream; the head, which the application cannot write, then
# names it. Without the head nobody would miss events that were cut off at the end of a stream. Who appends
# locks the head first; its first event makes it.
_HEADS = """
CREATE TABLE sluice.audit_head (
    stream text PRIMARY KEY,
    sequence bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO sluice.audit_head (stream, sequence, hash)
SELECT DISTINCT ON (stream) stream, sequence, hash FROM sluice.audit_event ORDER BY stream, sequence DESC;
CREATE FUNCTION sluice.lock_audit_head(wanted text) RETURNS sluice.audit_head
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head sluice.audit_head;
BEGIN
    SELECT * INTO head FROM sluice.audit_head WHERE stream = wanted FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO sluice.audit_head (stream, sequence, hash) VALUES (wanted, 0, repeat('0', 64))
        ON CONFLICT (stream) DO NOTHING;
        SELECT * INTO head FROM sluice.audit_head WHERE stream = wanted FOR UPDATE;
    END IF;
    RETURN head;
END $$;
CREATE FUNCTION sluice.link_audit_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE sluice.audit_head SET sequence = NEW.sequence, hash = NEW.hash
    WHERE stream = NEW.stream AND sequence = NEW.sequence - 1 AND hash = NEW.previous_hash;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The event does not follow the last one of its stream.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER link BEFORE INSERT ON sluice.audit_event
FOR EACH ROW EXECUTE FUNCTION sluice.link_audit_event();
"""

_RECORDER = """
CREATE FUNCTION sluice.record_dead_letter_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who text := coalesce(nullif(current_setting('sluice.actor', true), ''), 'database:' || session_user);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT 'dead_letter', new_rows.id, NULL, new_rows.state, who, clock_timestamp() FROM new_rows;
    ELSE
        INSERT INTO sluice.state_transition (entity, entity_id, before, after, actor, at)
        SELECT 'dead_letter', new_rows.id, old_rows.state, new_rows.state, who, clock_timestamp()
        FROM new_rows JOIN old_rows USING (id)
        WHERE new_rows.state IS DISTINCT FROM old_rows.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON sluice.dead_letter
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_dead_letter_transition();
CREATE TRIGGER record_update AFTER UPDATE ON sluice.dead_letter
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION sluice.record_dead_letter_transition();
"""


# The first statement of a session decides how many rows the plan of the recorder expects: after one that
# changed none, a nested loop would compare every row with every other ever after.
_PLANS = "ALTER FUNCTION sluice.record_{entity}_transition() SET enable_nestloop = off"


def upgrade() -> None:
    """Add what recovery, operators and auditors need; the application role may read the heads."""
    op.execute(_CHANGES)
    op.execute(_HEADS)
    op.execute(_RECORDER)
    for entity in ("workflow_run", "task_run", "posting", "dead_letter"):
        op.execute(_PLANS.format(entity=entity))
    role = context.config.attributes["app_role"]
    quoted = op.get_bind().dialect.identifier_preparer.quote_identifier(role)
    op.execute(f"GRANT SELECT ON sluice.audit_head TO {quoted}")
    op.execute("REVOKE EXECUTE ON FUNCTION sluice.lock_audit_head(text) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION sluice.lock_audit_head(text) TO {quoted}")
