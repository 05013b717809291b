"""The tables of schema `sluice`, as SQLAlchemy Core. Migrations build them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

SCHEMA = "sluice"
metadata = MetaData(schema=SCHEMA)
_time = TIMESTAMP(timezone=True)

workflow = Table(
    "workflow",
    metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("active_version", Integer, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
)

workflow_version = Table(
    "workflow_version",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("workflow", Text, ForeignKey("sluice.workflow.key"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("source", Text, nullable=False),
    Column("plan", JSONB, nullable=False),
    Column("published_by", Text, nullable=False),
    Column("published_at", _time, nullable=False),
    UniqueConstraint("workflow", "number", name="workflow_version_number_key"),
    UniqueConstraint("workflow", "hash", name="workflow_version_hash_key"),
)

_RUN_STATES = "state IN ('PENDING','RUNNING','SUSPENDED','SUCCEEDED','FAILED','CANCELLED')"
_TASK_STATES = "state IN ('PENDING','RUNNING','SUSPENDED','SUCCEEDED','FAILED','CANCELLED','SKIPPED')"
_DEAD_LETTER_STATES = "state IN ('OPEN','RETRIED','DISCARDED','SUPERSEDED')"
_POSTING_STATES = "state IN ('INTENDED','SENT','CONFIRMED','REJECTED','IN_DOUBT')"

workflow_run = Table(
    "workflow_run",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("version_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_version.id"), nullable=False),
    Column("environment", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created_at", _time, nullable=False),
    Column("started_at", _time),
    Column("finished_at", _time),
    Column("failure", JSONB),
    Column("totals", JSONB),
    # The run's context key, wrapped by the key-encryption key. Null once the run has finished.
    Column("context_key", LargeBinary),
    # Which orchestration may work on the run: every retry and recovery counts one up, and an activity of an
    # earlier execution changes nothing any more.
    Column("execution", Integer, nullable=False, server_default="0"),
    # Where an execution begins: all segments before it are complete.
    Column("segment", Integer, nullable=False, server_default="0"),
    # Which execution saved the context that this segment begins with.
    Column("context_execution", Integer, nullable=False, server_default="0"),
    # How often the sweep has recovered this execution, and how often a segment began since the last progress.
    Column("recoveries", Integer, nullable=False, server_default="0"),
    Column("starts", Integer, nullable=False, server_default="0"),
    # What an operator has asked for and the execution has not yet done.
    Column("requested", Text),
    Column("heartbeat_at", _time),
    # Until when the execution waits on purpose, and when the run has to be over.
    Column("wake_at", _time),
    Column("deadline_at", _time),
    Column("replay_of", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    # The run whose dead letters this one takes up again.
    Column("repair_of", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    # When what durable execution kept of it was deleted.
    Column("purged_at", _time),
    # For a nested run: the run, step and chunk that it was started for, the run at the top, and how many runs
    # are above it.
    Column("parent_run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    Column("parent_step", Text),
    Column("parent_chunk_id", UUID(as_uuid=True)),
    Column("root_run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    Column("depth", Integer, nullable=False, server_default="0"),
    # What it waits for while it is SUSPENDED; null is: until somebody resumes it.
    Column("waits_for", Text),
    # The step at which it waited for people last, from where it goes on, and which execution saved the
    # records for that.
    Column("held_step", Text),
    Column("held_execution", Integer),
    # Whether it goes on when the run above it is cancelled or fails.
    Column("detached", Boolean, nullable=False, server_default="false"),
    CheckConstraint(_RUN_STATES, name="workflow_run_state_check"),
    CheckConstraint("requested IN ('cancel','pause')", name="workflow_run_requested_check"),
    CheckConstraint("waits_for IN ('approval')", name="workflow_run_waits_for_check"),
    Index("workflow_run_open", "heartbeat_at", postgresql_where=text("state IN ('RUNNING','SUSPENDED')")),
    Index("workflow_run_unpurged", "finished_at", postgresql_where=text("purged_at IS NULL")),
    Index("workflow_run_created", "created_at", "id"),
    Index("workflow_run_workflow", "workflow", "created_at"),
    Index("workflow_run_state", "state", "created_at"),
    Index(
        "workflow_run_parent",
        "parent_run_id",
        "parent_step",
        postgresql_where=text("parent_run_id IS NOT NULL"),
    ),
    Index("workflow_run_chunk", "parent_chunk_id", postgresql_where=text("parent_chunk_id IS NOT NULL")),
)

chunk_run = Table(
    "chunk_run",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id"), nullable=False),
    Column("step_key", Text, nullable=False),
    # Its place in the dispatch, from 0.
    Column("number", Integer, nullable=False),
    # SHA-256 of the values that identify it, and those values as people may see them.
    Column("key_digest", Text, nullable=False),
    Column("shown", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    # How often it began since the last progress.
    Column("starts", Integer, nullable=False, server_default="0"),
    # Where its record is: the page that this execution of the run has written.
    Column("execution", Integer, nullable=False),
    Column("page", Integer, nullable=False),
    Column("wake_at", _time),
    Column("started_at", _time),
    Column("finished_at", _time),
    Column("failure", JSONB),
    Column("child_run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    CheckConstraint(_TASK_STATES, name="chunk_run_state_check"),
    UniqueConstraint("run_id", "step_key", "number", name="chunk_run_number_key"),
    UniqueConstraint("run_id", "step_key", "key_digest", name="chunk_run_record_key"),
    Index("chunk_run_state", "run_id", "step_key", "state", "number"),
    Index("chunk_run_page", "run_id", "step_key", "execution", "page"),
    Index(
        "chunk_run_finished",
        "run_id",
        "step_key",
        "finished_at",
        postgresql_where=text("state IN ('SUCCEEDED','FAILED')"),
    ),
)

task_run = Table(
    "task_run",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id"), nullable=False),
    # Null for the steps of the run itself.
    Column("chunk_id", UUID(as_uuid=True), ForeignKey("sluice.chunk_run.id")),
    Column("step_key", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("verb", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("started_at", _time),
    Column("finished_at", _time),
    Column("counts", JSONB),
    Column("measures", JSONB),
    Column("failure", JSONB),
    # Attempts that failed, oldest first: number, times, error code and message, and the wait after it.
    Column("attempts", JSONB, nullable=False, server_default="[]"),
    # How far the planning of a dispatch is: records read, pages written, and by which execution.
    Column("planning", JSONB),
    # Digest of the records that a write sends.
    Column("batch_digest", Text),
    CheckConstraint(_TASK_STATES, name="task_run_state_check"),
    UniqueConstraint(
        "run_id", "chunk_id", "step_key", name="task_run_step_key", postgresql_nulls_not_distinct=True
    ),
)

state_transition = Table(
    "state_transition",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("entity", Text, nullable=False),
    Column("entity_id", UUID(as_uuid=True), nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", _time, nullable=False),
    Index("state_transition_entity", "entity_id", "id"),
)

posting = Table(
    "posting",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("idempotency_key", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    # Who works on it: the run, perhaps its chunk, the step, and one token per execution of the activity.
    Column("run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id"), nullable=False),
    Column("chunk_id", UUID(as_uuid=True), ForeignKey("sluice.chunk_run.id")),
    Column("step_key", Text, nullable=False),
    Column("claim", UUID(as_uuid=True), nullable=False),
    Column("external_id", Text),
    Column("reason", Text),
    # The values of the declared key, redacted: by these a person recognises the record.
    Column("shown", JSONB),
    Column("sent_at", _time),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
    CheckConstraint(_POSTING_STATES, name="posting_state_check"),
    UniqueConstraint("idempotency_key", name="posting_idempotency_key_key"),
    Index("posting_run", "run_id", "step_key", "state"),
    Index("posting_unsettled", "id", postgresql_where=text("state IN ('SENT','IN_DOUBT')")),
    Index("posting_chunk", "chunk_id", postgresql_where=text("chunk_id IS NOT NULL")),
)

connector = Table(
    "connector",
    metadata,
    Column("key", Text, primary_key=True),
    Column("system", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
)

business_object_type = Table(
    "business_object_type",
    metadata,
    Column("name", Text, primary_key=True),
    Column("schema", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("run_id", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id"), nullable=False),
    Column("chunk_id", UUID(as_uuid=True), ForeignKey("sluice.chunk_run.id")),
    Column("step_key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("faults", JSONB, nullable=False),
    # What people may see of it: sensitive values are taken out.
    Column("record", JSONB, nullable=False),
    # The record itself, sealed: it may hold personal data and outlives its run.
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default="OPEN"),
    Column("resolved_by", Text),
    Column("resolved_at", _time),
    Column("resolution", Text),
    # The run that takes the record up again, and the record as it was edited for that, sealed.
    Column("retry_run", UUID(as_uuid=True), ForeignKey("sluice.workflow_run.id")),
    Column("retry_payload", LargeBinary),
    Column("created_at", _time, nullable=False),
    CheckConstraint(_DEAD_LETTER_STATES, name="dead_letter_state_check"),
    UniqueConstraint(
        "run_id",
        "chunk_id",
        "step_key",
        "digest",
        name="dead_letter_record_key",
        postgresql_nulls_not_distinct=True,
    ),
    Index("dead_letter_chunk", "chunk_id", postgresql_where=text("chunk_id IS NOT NULL")),
    Index("dead_letter_state", "state", "id"),
    Index("dead_letter_retry_run", "retry_run", postgresql_where=text("retry_run IS NOT NULL")),
)

audit_event = Table(
    "audit_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", _time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("stream", "sequence", name="audit_event_sequence_key"),
    Index("audit_event_subject", "subject", "id"),
    Index("audit_event_at", "at", "id"),
)

audit_head = Table(
    "audit_head",
    metadata,
    # The last event of every stream, so that one removed at the end is missed. Only a trigger writes it.
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

idempotency_record = Table(
    "idempotency_record",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("result", JSONB, nullable=False),
    Column("created_at", _time, nullable=False),
)
