"""What operators can do with runs, by state."""

from collections.abc import Mapping
from types import MappingProxyType

from docs.sections.tables import code
from docs.sections.tables import table as table_of
from workflows.actions import APPROVAL, EFFECTS, Action, Effect, Situation
from workflows.states import RunState

_SAID: Mapping[Effect, str] = MappingProxyType(
    {
        Effect.NOTHING: "no change",
        Effect.END: "CANCELLED at once",
        Effect.ASK: "asked; obeyed before the next effect",
        Effect.ROUSE: "goes on",
        Effect.ROUSE_AND_ASK: "goes on to end",
        Effect.WITHDRAW: "the request is withdrawn",
        Effect.KEEP: "waits until resumed, whatever is decided",
        Effect.BEGIN_AGAIN: "next execution",
        Effect.COPY: "new run",
    }
)


def table() -> str:
    """Each state, and each request that waits in it, with what every action comes to."""
    found = {situation for effects in EFFECTS.values() for situation in effects}
    situations = sorted(found, key=lambda one: (list(RunState).index(one[0]), one[1] or ""))
    rows = ((_named(one), *(_said(action, one) for action in Action)) for one in situations)
    return table_of(("run", *map(code, Action)), rows)


def _named(situation: Situation) -> str:
    state, requested = situation
    if requested == APPROVAL:
        return f"{code(state)}, waits for approval"
    return code(state) + (f", asked to {requested}" if requested else "")


def _said(action: Action, situation: Situation) -> str:
    effect = EFFECTS[action].get(situation)
    return _SAID[effect] if effect else "refused"
