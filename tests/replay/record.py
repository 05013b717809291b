"""Records the histories that `test_histories.py` replays for ever: `python -m tests.replay.record`.

Run once per release, for new shapes of runs; never change a recorded file.
"""

from collections.abc import Mapping
from pathlib import Path

from activities.contract import Next, Outcome
from kernel.release import VERSION
from tests.replay.hub import LONG_SECONDS, Script, pretty, running_hub

HISTORIES = Path(__file__).with_name("histories")
_ENDED = Outcome(Next.ENDED, 0, state="SUCCEEDED")
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
}


def main() -> None:
    """Record the shapes that this release has no history of."""
    folder = HISTORIES / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in SHAPES.items():
        path = folder / f"{name}.json"
        if not path.exists():
            with running_hub() as hub:
                path.write_text(pretty(hub.history(hub.run(script).instance_id)))


if __name__ == "__main__":
    main()
