"""The orchestrator of one page of chunks. Deterministic: ids, counts and enum values only."""

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

from durabletask.task import OrchestrationContext

from activities.contract import ChunksInput
from orchestrators.names import CHUNK_RUN
from orchestrators.window import Call, Window, run_together


def dispatch_page(
    context: OrchestrationContext, given: dict[str, Any]
) -> Generator[Any, Any, dict[str, Any]]:
    """Run the chunks of a page, `width` batches of `batch` at once; returns whether it was told to stop."""
    batch, width, chunks = int(given["batch"]), int(given["width"]), int(given["chunks"])
    calls = _calls(context, given["page"], chunks, batch)
    if width * batch >= chunks:
        stopped = yield from run_together(calls)
        return {"stopped": stopped}
    window = Window(calls, width)
    yield from window.run()
    return {"stopped": window.stopped}


def _calls(context: OrchestrationContext, page: dict[str, Any], chunks: int, batch: int) -> Iterator[Call]:
    for first in range(0, chunks, batch):
        asked = ChunksInput.from_dict({**page, "first": first, "count": min(batch, chunks - first)})
        yield partial(context.call_sub_orchestrator, CHUNK_RUN, input=asked.to_dict(), return_type=dict)
