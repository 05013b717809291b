"""Approvals with their decisions, comments and viewings; the notification outbox; people and API keys."""

from alembic import context, op

revision = "0005"
down_revision = "0004"

_APPROVALS = """
CREATE TABLE sluice.approval (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES sluice.workflow_run (id),
    chunk_id uuid REFERENCES sluice.chunk_run (id),
    step_key text NOT NULL,
    execution integer NOT NULL,
    rule integer NOT NULL,
    because text NOT NULL,
    approvers jsonb NOT NULL,
    quorum integer NOT NULL,
    level integer NOT NULL DEFAULT 0,
    escalations jsonb NOT NULL DEFAULT '[]',
    on_timeout text NOT NULL CONSTRAINT approval_on_timeout_check
        CHECK (on_timeout IN ('reject','escalate','fail')),
    excluded jsonb NOT NULL,
    digest text NOT NULL,
    facts jsonb NOT NULL,
    summary jsonb NOT NULL,
    changes jsonb,
    replaces uuid REFERENCES sluice.approval (id),
    state text NOT NULL CONSTRAINT approval_state_check
        CHECK (state IN ('REQUESTED','APPROVED','REJECTED','EXPIRED','CANCELLED')),
    requested_at timestamptz NOT NULL,
    due_at timestamptz,
    next_at timestamptz,
    reminded_at timestamptz,
    ended_at timestamptz,
    outcome jsonb,
    told_at timestamptz
);
CREATE UNIQUE INDEX approval_open ON sluice.approval (run_id, chunk_id, step_key, rule) NULLS NOT DISTINCT
    WHERE state = 'REQUESTED';
CREATE INDEX approval_run ON sluice.approval (run_id, step_key);
CREATE INDEX approval_next ON sluice.approval (next_at) WHERE state = 'REQUESTED';
CREATE INDEX approval_untold ON sluice.approval (ended_at) WHERE state <> 'REQUESTED' AND told_at IS NULL;
CREATE INDEX approval_state ON sluice.approval (state, requested_at);
CREATE TABLE sluice.approval_decision (
    id uuid PRIMARY KEY,
    approval_id uuid NOT NULL REFERENCES sluice.approval (id),
    decision text NOT NULL CONSTRAINT approval_decision_check CHECK (decision IN ('approve','reject')),
    reason text NOT NULL,
    actor text NOT NULL,
    level integer NOT NULL,
    groups jsonb NOT NULL,
    source text NOT NULL CONSTRAINT approval_decision_source_check CHECK (source IN ('page','api')),
    link uuid,
    address text,
    decided_at timestamptz NOT NULL,
    CONSTRAINT approval_decision_actor_key UNIQUE (approval_id, actor)
);
CREATE TABLE sluice.approval_comment (
    id uuid PRIMARY KEY,
    approval_id uuid NOT NULL REFERENCES sluice.approval (id),
    actor text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX approval_comment_approval ON sluice.approval_comment (approval_id, id);
CREATE TABLE sluice.approval_viewing (
    approval_id uuid NOT NULL REFERENCES sluice.approval (id),
    actor text NOT NULL,
    link uuid NOT NULL,
    viewed_at timestamptz NOT NULL,
    PRIMARY KEY (approval_id, actor, link)
);
"""

# Where a run that waits for people goes on, who saved the records for that, and that it waits for them.
_RUNS = """
ALTER TABLE sluice.workflow_run
    ADD COLUMN waits_for text CONSTRAINT workflow_run_waits_for_check CHECK (waits_for IN ('approval')),
    ADD COLUMN held_step text,
    ADD COLUMN held_execution integer;
"""

_NOTIFICATIONS = """
CREATE TABLE sluice.notification (
    id uuid PRIMARY KEY,
    approval_id uuid NOT NULL REFERENCES sluice.approval (id),
    kind text NOT NULL,
    level integer NOT NULL DEFAULT 0,
    audience jsonb NOT NULL,
    channel text,
    addressee text,
    address text,
    announcement uuid REFERENCES sluice.notification (id),
    state text NOT NULL CONSTRAINT notification_state_check
        CHECK (state IN ('PENDING','EXPANDED','SENT','FAILED','DROPPED')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    claimed_at timestamptz,
    failure jsonb,
    created_at timestamptz NOT NULL,
    sent_at timestamptz
);
CREATE UNIQUE INDEX notification_announcement ON sluice.notification (approval_id, kind, level)
    WHERE announcement IS NULL;
CREATE UNIQUE INDEX notification_addressee ON sluice.notification (announcement, channel, addressee)
    WHERE announcement IS NOT NULL;
CREATE INDEX notification_due ON sluice.notification (next_at) WHERE state = 'PENDING';
CREATE INDEX notification_state ON sluice.notification (state, id);
"""

_PEOPLE = """
CREATE TABLE sluice.person (
    id text PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
);
CREATE TABLE sluice.api_key (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    roles jsonb NOT NULL,
    scopes jsonb,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT api_key_digest_key UNIQUE (digest)
);
"""

_RECORDER = """
CREATE FUNCTION sluice.record_{entity}_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
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

# A decision, a comment and a viewing are evidence: the application may add them and nothing else.
_GRANTS = """
GRANT SELECT, INSERT, UPDATE ON sluice.approval, sluice.notification, sluice.person, sluice.api_key TO {role};
GRANT SELECT, INSERT ON sluice.approval_decision, sluice.approval_comment, sluice.approval_viewing TO {role};
"""


def upgrade() -> None:
    """Create them, record every change of state, and let the application role do no more than it must."""
    op.execute(_APPROVALS)
    op.execute(_RUNS)
    op.execute(_NOTIFICATIONS)
    op.execute(_PEOPLE)
    for entity in ("approval", "notification"):
        op.execute(_RECORDER.format(entity=entity))
    role = context.config.attributes["app_role"]
    quoted = op.get_bind().dialect.identifier_preparer.quote_identifier(role)
    op.execute(_GRANTS.format(role=quoted))
