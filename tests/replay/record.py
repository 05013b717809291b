"""Records the histories that `test_histories.py` replays for ever: `python -m tests.replay.record`.

Run once per release, for new shapes of runs; never change a recorded file.
"""

from collections.abc import Mapping
from pathlib import Path

from activities.contract import ChunksOutcome, Next, Outcome, Pages, Then
from kernel.release import VERSION
from tests.replay.hub import CHILD, LONG_SECONDS, Hub, Script, below, pretty, running_hub

HISTORIES = Path(__file__).with_name("histories")
_ENDED = Outcome(Next.ENDED, 0, state="SUCCEEDED")
_SOME_CHUNKS = Outcome(Next.DISPATCH, 1, pages=Pages("each", 0, 0, 1, 3, 1, 2))
_BATCHES = Outcome(Next.DISPATCH, 1, pages=Pages("each", 0, 0, 2, 4, 2, 50))
_CHILD = Outcome(Next.NESTED, 0, child=CHILD)
_FIRST, _SECOND = "01a1f000-0000-7000-8000-00000000000a", "01a1f000-0000-7000-8000-00000000000b"


def _asking(*approvals: str, wait_seconds: float = 0.0) -> Outcome:
    return Outcome(Next.SUSPENDED, 0, wait_seconds=wait_seconds, approvals=approvals)


SHAPES: Mapping[str, Script] = {
    "one_segment": [_ENDED],
    "three_segments": [Outcome(Next.CONTINUE, 1), Outcome(Next.CONTINUE, 2), _ENDED],
    "continued_write": [Outcome(Next.CONTINUE, 0), Outcome(Next.CONTINUE, 0), _ENDED],
    "two_retries": [
        Outcome(Next.RETRY, 0, wait_seconds=0.02),
        Outcome(Next.RETRY, 0, wait_seconds=0.02),
        _ENDED,
    ],
    "paused_and_resumed": [Outcome(Next.SUSPENDED, 1), Outcome(Next.CONTINUE, 2), _ENDED],
    "woken_before_its_time": [Outcome(Next.RETRY, 0, wait_seconds=LONG_SECONDS), _ENDED],
    "woken_and_timed": [
        Outcome(Next.SUSPENDED, 0),
        Outcome(Next.RETRY, 0, wait_seconds=0.02),
        Outcome(Next.RETRY, 0, wait_seconds=LONG_SECONDS),
        _ENDED,
    ],
    "no_row": [Outcome(Next.REFUSED)],
    "failed": [Outcome(Next.ENDED, 0, state="FAILED")],
    "database_away": [ConnectionError("the database does not answer"), _ENDED],
    "dispatch": [Outcome(Next.CONTINUE, 1), _SOME_CHUNKS, Outcome(Next.CONTINUE, 2), _ENDED],
    "dispatch_of_batches": [_BATCHES, _ENDED],
    "dispatch_that_waits": [_BATCHES, Outcome(Next.RETRY, 1, wait_seconds=0.02), _BATCHES, _ENDED],
    "dispatch_stopped": [_SOME_CHUNKS, *[ChunksOutcome(Then.STOPPED)] * 6, _ENDED],
    "chunk_that_is_retried": [_BATCHES, *[ChunksOutcome(Then.AGAIN, (1,), 0.02)] * 6, _ENDED],
    "chunks_alone": [_BATCHES, *[ChunksOutcome(Then.ALONE, (0, 1))] * 6, _ENDED],
    "chunk_with_a_run": [_SOME_CHUNKS, ChunksOutcome(Then.NESTED, (), 0.0, CHILD), _ENDED],
    "approved": [_asking(_FIRST), _ENDED],
    "two_approvals": [_asking(_FIRST, _SECOND), _asking(_SECOND), Outcome(Next.CONTINUE, 1), _ENDED],
    "nobody_decided": [_asking(_FIRST, wait_seconds=0.02), Outcome(Next.ENDED, 0, state="FAILED")],
    "woken_while_asking": [_asking(_FIRST, wait_seconds=LONG_SECONDS), _asking(_FIRST), _ENDED],
    "nested_run": [_CHILD, Outcome(Next.CONTINUE, 1), _ENDED],
}


def histories(hub: Hub, name: str, instance: str) -> Mapping[str, str]:
    """The instance's history, and one of each kind of sub-orchestration below it, by the name of a file."""
    history = hub.history(instance)
    found = {name: pretty(history)}
    for orchestrator, child in below(history).items():
        if child != CHILD:
            found |= histories(hub, f"{name}.{orchestrator}", child)
    return found


def main() -> None:
    """Record the shapes that this release has no history of."""
    folder = HISTORIES / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in SHAPES.items():
        if not (folder / f"{name}.json").exists():
            with running_hub() as hub:
                recorded = histories(hub, name, hub.run(script).instance_id)
            for file, text in recorded.items():
                (folder / f"{file}.json").write_text(text)


if __name__ == "__main__":
    main()
