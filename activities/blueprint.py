"""Registers the activities."""

from typing import Any

import azure.durable_functions as df
from durabletask.task import ActivityContext

from activities.contract import NOTIFY, RUN_CHUNKS, RUN_SEGMENT, ChunksInput, Next, Outcome, SegmentInput
from activities.notify import deliver
from activities.run_chunks import run_chunks
from activities.run_segment import run_segment
from activities.services import Services
from kernel.errors import NotFound


def activity_blueprint(services: Services) -> df.Blueprint:
    """All activities under their wire names, working with `services`."""
    blueprint = df.Blueprint()

    @blueprint.activity_trigger(input_name="given", activity=RUN_SEGMENT)
    def run_segment_activity(_context: ActivityContext, given: dict[str, Any]) -> dict[str, Any]:
        try:
            return run_segment(services, SegmentInput.from_dict(given)).to_dict()
        except NotFound:  # repeating the activity, as after other errors, would not make a row
            return Outcome(Next.REFUSED).to_dict()

    @blueprint.activity_trigger(input_name="given", activity=RUN_CHUNKS)
    def run_chunks_activity(_context: ActivityContext, given: dict[str, Any]) -> dict[str, Any]:
        return run_chunks(services, ChunksInput.from_dict(given)).to_dict()

    @blueprint.activity_trigger(input_name="given", activity=NOTIFY)
    def notify_activity(_context: ActivityContext, given: dict[str, Any]) -> dict[str, Any]:
        return deliver(services)

    return blueprint
