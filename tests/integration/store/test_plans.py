"""Plans that must not depend on what a session did before."""

from tests.support.world import World


def test_no_recorder_of_transitions_compares_every_changed_row_with_every_other(world: World) -> None:
    """PostgreSQL plans their join for as many rows as the session's first statement changed, often none. With
    a nested loop 6,000 changes then took 7.8 seconds, without 0.1."""
    recorders = world.sql("SELECT proname, proconfig FROM pg_proc WHERE proname ~ '^record_.*_transition$'")
    assert {name for name, _ in recorders} == {
        "record_workflow_run_transition",
        "record_task_run_transition",
        "record_posting_transition",
        "record_approval_transition",
        "record_chunk_run_transition",
        "record_dead_letter_transition",
        "record_notification_transition",
    }
    assert [name for name, settings in recorders if "enable_nestloop=off" not in settings] == []
