"""What the API takes and gives where operators act on runs."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from commands.forecasting import Forecast, StepForecast
from triggers.bodies import Body
from triggers.views import View
from workflows.actions import Action

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class OperateRun(Body):
    """Do something with a run, and say why."""

    reason: Reason


class StepForecastView(View):
    """What would become of one step. `will` is `stands`, `repeats`, `goes_on`, `runs`, `skipped`, `waits` or
    `ends`; the numbers are records. Without `known` more may be posted than the numbers say: the step reads
    again, then posts whatever is not posted yet."""

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

    @classmethod
    def of(cls, step: StepForecast) -> "StepForecastView":
        """The view of a step's forecast."""
        return cls.model_validate({**vars(step), **vars(step.counts)})


class ForecastView(View):
    """What an action would do to a run. Nothing has been changed."""

    action: Action
    allowed: bool
    why_not: str | None
    steps: list[StepForecastView]
    summary: str

    @classmethod
    def of(cls, found: Forecast) -> "ForecastView":
        """The view of a forecast."""
        values: dict[str, Any] = {**vars(found), "steps": [StepForecastView.of(step) for step in found.steps]}
        return cls.model_validate(values)
