"""The tables of approvals, notifications, people and API keys, as SQLAlchemy Core."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from store.tables import metadata

_time = TIMESTAMP(timezone=True)
_id = UUID(as_uuid=True)

_APPROVAL_STATES = "state IN ('REQUESTED','APPROVED','REJECTED','EXPIRED','CANCELLED')"
_NOTIFICATION_STATES = "state IN ('PENDING','EXPANDED','SENT','FAILED','DROPPED')"

approval = Table(
    "approval",
    metadata,
    Column("id", _id, primary_key=True),
    Column("run_id", _id, ForeignKey("sluice.workflow_run.id"), nullable=False),
    Column("chunk_id", _id, ForeignKey("sluice.chunk_run.id")),
    Column("step_key", Text, nullable=False),
    # The run's execution that asked.
    Column("execution", Integer, nullable=False),
    # Which rule asked, from 0, and its reason.
    Column("rule", Integer, nullable=False),
    Column("because", Text, nullable=False),
    # Names of the groups whose members may decide now, and how many of them must.
    Column("approvers", JSONB, nullable=False),
    Column("quorum", Integer, nullable=False),
    # How often it was escalated, and the escalations that are left.
    Column("level", Integer, nullable=False, server_default="0"),
    Column("escalations", JSONB, nullable=False, server_default="[]"),
    Column("on_timeout", Text, nullable=False),
    # Who may not decide, whatever groups they are in: who requested the run.
    Column("excluded", JSONB, nullable=False),
    # Of exactly the records that the guarded writes will send.
    Column("digest", Text, nullable=False),
    # Redacted: what the rule saw, what would be written, and what has changed since the approval before.
    Column("facts", JSONB, nullable=False),
    Column("summary", JSONB, nullable=False),
    Column("changes", JSONB),
    Column("replaces", _id, ForeignKey("sluice.approval.id")),
    Column("state", Text, nullable=False),
    Column("requested_at", _time, nullable=False),
    Column("due_at", _time),
    # When the sweep has something to do: remind, escalate or end it.
    Column("next_at", _time),
    Column("reminded_at", _time),
    Column("ended_at", _time),
    # How it ended: by what, by whom, and whether a person and the deadline met.
    Column("outcome", JSONB),
    # When the run has heard how it ended.
    Column("told_at", _time),
    CheckConstraint(_APPROVAL_STATES, name="approval_state_check"),
    CheckConstraint("on_timeout IN ('reject','escalate','fail')", name="approval_on_timeout_check"),
    Index(
        "approval_open",
        "run_id",
        "chunk_id",
        "step_key",
        "rule",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("state = 'REQUESTED'"),
    ),
    Index("approval_run", "run_id", "step_key"),
    Index("approval_next", "next_at", postgresql_where=text("state = 'REQUESTED'")),
    Index("approval_untold", "ended_at", postgresql_where=text("state <> 'REQUESTED' AND told_at IS NULL")),
    Index("approval_state", "state", "requested_at"),
)

approval_decision = Table(
    "approval_decision",
    metadata,
    Column("id", _id, primary_key=True),
    Column("approval_id", _id, ForeignKey("sluice.approval.id"), nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("level", Integer, nullable=False),
    # By which of the approvers' groups the person was allowed to.
    Column("groups", JSONB, nullable=False),
    # From where: page or API, by which link (a notification), from which network address.
    Column("source", Text, nullable=False),
    Column("link", _id),
    Column("address", Text),
    Column("decided_at", _time, nullable=False),
    CheckConstraint("decision IN ('approve','reject')", name="approval_decision_check"),
    CheckConstraint("source IN ('page','api')", name="approval_decision_source_check"),
    UniqueConstraint("approval_id", "actor", name="approval_decision_actor_key"),
)

approval_comment = Table(
    "approval_comment",
    metadata,
    Column("id", _id, primary_key=True),
    Column("approval_id", _id, ForeignKey("sluice.approval.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", _time, nullable=False),
    Index("approval_comment_approval", "approval_id", "id"),
)

approval_viewing = Table(
    "approval_viewing",
    metadata,
    Column("approval_id", _id, ForeignKey("sluice.approval.id"), primary_key=True),
    Column("actor", Text, primary_key=True),
    # The link that was followed; all zeros for none.
    Column("link", _id, primary_key=True),
    Column("viewed_at", _time, nullable=False),
)

notification = Table(
    "notification",
    metadata,
    Column("id", _id, primary_key=True),
    Column("approval_id", _id, ForeignKey("sluice.approval.id"), nullable=False),
    # asked, reminder, escalated, reassigned, outcome, voided, comment.
    Column("kind", Text, nullable=False),
    Column("level", Integer, nullable=False, server_default="0"),
    # An announcement names groups and people; it is expanded into one notification for each addressee and
    # channel, which name it.
    Column("audience", JSONB, nullable=False),
    Column("channel", Text),
    Column("addressee", Text),
    Column("address", Text),
    Column("announcement", _id, ForeignKey("sluice.notification.id")),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", _time, nullable=False),
    Column("claimed_at", _time),
    Column("failure", JSONB),
    Column("created_at", _time, nullable=False),
    Column("sent_at", _time),
    CheckConstraint(_NOTIFICATION_STATES, name="notification_state_check"),
    Index(
        "notification_announcement",
        "approval_id",
        "kind",
        "level",
        unique=True,
        postgresql_where=text("announcement IS NULL"),
    ),
    Index(
        "notification_addressee",
        "announcement",
        "channel",
        "addressee",
        unique=True,
        postgresql_where=text("announcement IS NOT NULL"),
    ),
    Index("notification_due", "next_at", postgresql_where=text("state = 'PENDING'")),
    Index("notification_state", "state", "id"),
)

person = Table(
    "person",
    metadata,
    # As the audit trail names them, e.g. `entra:{object id}`.
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("first_seen_at", _time, nullable=False),
    Column("last_seen_at", _time, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", _id, primary_key=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the key, which has 256 random bits and is shown once.
    Column("digest", Text, nullable=False),
    Column("roles", JSONB, nullable=False),
    # Names of the commands it may be used for; null is all that its roles may.
    Column("scopes", JSONB),
    Column("created_by", Text, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("expires_at", _time, nullable=False),
    Column("last_used_at", _time),
    Column("revoked_at", _time),
    Column("revoked_by", Text),
    UniqueConstraint("digest", name="api_key_digest_key"),
)
