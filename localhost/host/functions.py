"""The functions of an app as data: what triggers them and what they are bound to."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HTTP, TIMER = "httpTrigger", "timerTrigger"
ORCHESTRATION, ACTIVITY, ENTITY = "orchestrationTrigger", "activityTrigger", "entityTrigger"
DURABLE_CLIENT = "durableClient"

DURABLE_TRIGGERS = frozenset({ORCHESTRATION, ACTIVITY, ENTITY})
SUPPORTED_TRIGGERS = DURABLE_TRIGGERS | {HTTP, TIMER}
SUPPORTED_BINDINGS = frozenset({DURABLE_CLIENT, "http"})


@dataclass(frozen=True)
class Binding:
    """One binding as function.json would have it; `properties` are the rest of its keys, in camel case."""

    type: str
    name: str
    properties: Mapping[str, Any]

    @classmethod
    def from_json(cls, text: str) -> "Binding":
        """The binding that the azure-functions library describes with `text`."""
        properties = json.loads(text)
        return cls(type=properties["type"], name=properties["name"], properties=properties)


@dataclass(frozen=True)
class Retry:
    """The retry policy of a function. Times are TimeSpan strings, `hh:mm:ss`."""

    strategy: str
    max_retry_count: int
    delay_interval: str | None = None
    minimum_interval: str | None = None
    maximum_interval: str | None = None


@dataclass(frozen=True)
class Function:
    """One function of the app. `id` is how the worker runtime knows it."""

    id: str
    name: str
    trigger: Binding
    bindings: tuple[Binding, ...]
    retry: Retry | None = None

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Types of its trigger and bindings that this host cannot serve."""
        rest = (binding.type for binding in self.bindings if binding is not self.trigger)
        names = [] if self.trigger.type in SUPPORTED_TRIGGERS else [self.trigger.type]
        return (*names, *(name for name in rest if name not in SUPPORTED_BINDINGS))

    @property
    def clients(self) -> tuple[Binding, ...]:
        """Its durable client bindings."""
        return tuple(binding for binding in self.bindings if binding.type == DURABLE_CLIENT)


def triggered_by(functions: Iterable[Function], trigger: str) -> tuple[Function, ...]:
    """The functions with that type of trigger."""
    return tuple(function for function in functions if function.trigger.type == trigger)
