"""What the API takes and gives where operators act on runs."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from commands.foreseen import ApprovalCounts, ChunkCounts, Forecast, NestedCounts, StepForecast
from triggers.bodies import Body
from triggers.views import View
from workflows.actions import Action

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class OperateRun(Body):
    """Do something with a run, and say why."""

    reason: Reason


class ChunkForecastView(View):
    """What would become of the chunks of a dispatch."""

    runs: int
    stands: int = Field(description="Not touched again")
    waits: int = Field(description="Run when the run is resumed")
    ends: int

    @classmethod
    def of(cls, chunks: ChunkCounts) -> "ChunkForecastView":
        """The view of a dispatch's forecast."""
        return cls.model_validate(chunks)


class NestedForecastView(View):
    """What would become of the open runs below a run, at all levels."""

    ends: int
    goes_on: int

    @classmethod
    def of(cls, nested: NestedCounts) -> "NestedForecastView":
        """The view of a run's forecast."""
        return cls.model_validate(nested)


class StepForecastView(View):
    """What would become of one step. `will` is `stands`, `repeats`, `goes_on`, `runs`, `skipped`, `waits` or
    `ends`; the numbers are records. Without `known` more may be posted than the numbers say: the step reads
    again, then posts whatever is not posted yet. Dispatches have `chunks`; writes inside them follow as steps
    of their own."""

    step: str
    verb: str
    state: str
    will: str
    posts: int
    posts_again: int = Field(description="Rejected before")
    skips_confirmed: int
    looks_up: int = Field(description="In doubt")
    sends_again: int = Field(description="In doubt, to a system that recognises what it has")
    holds: int
    in_flight: int = Field(description="Sent now; the answers are still taken")
    waits: int = Field(description="Posted when the run is resumed")
    elsewhere: int = Field(description="In the hands of other runs")
    known: bool
    chunks: ChunkForecastView | None

    @classmethod
    def of(cls, step: StepForecast) -> "StepForecastView":
        """The view of a step's forecast."""
        chunks = None if step.chunks is None else ChunkForecastView.of(step.chunks)
        return cls.model_validate({**vars(step), **vars(step.counts), "chunks": chunks})


class ApprovalForecastView(View):
    """What would become of requests for approval."""

    renews: int = Field(description="Approved; asked again if the records are other ones by then")
    asks: int = Field(description="Asked again in any case")
    stays: int = Field(description="Open, and they stay so")
    ends: int = Field(description="Open, and they end")

    @classmethod
    def of(cls, counts: ApprovalCounts) -> "ApprovalForecastView":
        """The view of counts."""
        return cls.model_validate(counts)


class ForecastView(View):
    """What an action would do to a run. Nothing has been changed."""

    action: Action
    allowed: bool
    why_not: str | None
    steps: list[StepForecastView]
    nested: NestedForecastView
    approvals: ApprovalForecastView
    summary: str

    @classmethod
    def of(cls, found: Forecast) -> "ForecastView":
        """The view of a forecast."""
        steps = [StepForecastView.of(step) for step in found.steps]
        values: dict[str, Any] = {
            **vars(found),
            "steps": steps,
            "nested": NestedForecastView.of(found.nested),
            "approvals": ApprovalForecastView.of(found.approvals),
        }
        return cls.model_validate(values)
