"""What a person may do with a run, and what that means in each of its states: one table."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from workflows.states import TERMINAL_RUN_STATES, RunState


class Action(StrEnum):
    """What an operator does with a run."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    REPLAY = "replay"


class Effect(StrEnum):
    """What an action comes to."""

    NOTHING = "nothing"
    """The run is, or is asked to be, as wanted."""
    END = "end"
    """Nothing of it has begun: it ends at once."""
    ASK = "ask"
    """The execution is asked and obeys before its next effect."""
    ROUSE = "rouse"
    """A paused run goes on."""
    ROUSE_AND_ASK = "rouse_and_ask"
    """A paused run goes on only to end."""
    WITHDRAW = "withdraw"
    """What was asked for and has not happened does not happen."""
    BEGIN_AGAIN = "begin_again"
    """The same run gets another execution."""
    KEEP = "keep"
    """A run that waits for people stays where it is, whatever they decide."""
    COPY = "copy"
    """A new run of the same version and inputs."""


type Situation = tuple[RunState, str | None]
"""A run's state, and what is requested of it or what it waits for."""

_PENDING, _RUNNING, _SUSPENDED = RunState.PENDING, RunState.RUNNING, RunState.SUSPENDED
_CANCEL, _PAUSE = Action.CANCEL.value, Action.PAUSE.value
APPROVAL = "approval"
"""What a run waits for that is suspended until people have decided."""

EFFECTS: Mapping[Action, Mapping[Situation, Effect]] = MappingProxyType(
    {
        Action.CANCEL: {
            (_PENDING, None): Effect.END,
            (_PENDING, _PAUSE): Effect.END,
            (_RUNNING, None): Effect.ASK,
            (_RUNNING, _PAUSE): Effect.ASK,
            (_RUNNING, _CANCEL): Effect.NOTHING,
            (_SUSPENDED, None): Effect.ROUSE_AND_ASK,
            (_SUSPENDED, APPROVAL): Effect.ROUSE_AND_ASK,
            (RunState.CANCELLED, None): Effect.NOTHING,
        },
        Action.PAUSE: {
            (_PENDING, None): Effect.ASK,
            (_PENDING, _PAUSE): Effect.NOTHING,
            (_RUNNING, None): Effect.ASK,
            (_RUNNING, _PAUSE): Effect.NOTHING,
            (_SUSPENDED, None): Effect.NOTHING,
            (_SUSPENDED, APPROVAL): Effect.KEEP,
        },
        Action.RESUME: {
            (_PENDING, None): Effect.NOTHING,
            (_PENDING, _PAUSE): Effect.WITHDRAW,
            (_RUNNING, None): Effect.NOTHING,
            (_RUNNING, _PAUSE): Effect.WITHDRAW,
            (_SUSPENDED, None): Effect.ROUSE,
        },
        Action.RETRY: {(RunState.FAILED, None): Effect.BEGIN_AGAIN},
        Action.REPLAY: {(state, None): Effect.COPY for state in TERMINAL_RUN_STATES},
    }
)
"""What is not in it is refused."""

_ONLY: Mapping[Action, str] = MappingProxyType(
    {
        Action.CANCEL: "Only a run that has not ended can be cancelled.",
        Action.PAUSE: "Only a run that goes on can be paused.",
        Action.RESUME: "Only a run that is paused can be resumed.",
        Action.RETRY: "Only a run that FAILED can be retried; one that SUCCEEDED or was CANCELLED can be "
        "replayed.",
        Action.REPLAY: "Only a run that has ended can be replayed; cancel it first or wait for its end.",
    }
)


def effect_of(
    action: Action, state: RunState, requested: str | None, *, repairs: bool = False
) -> Effect | None:
    """What the action comes to, or `None` when it is refused. `repairs` tells runs that take up dead letters:
    they read nothing themselves, so that there is nothing to replay."""
    effect = EFFECTS[action].get((state, requested))
    return None if effect is Effect.COPY and repairs else effect


def refusal(action: Action, state: RunState, requested: str | None, *, repairs: bool = False) -> str:
    """Why it is refused and what can be done."""
    if action is Action.REPLAY and repairs:
        return "The run repairs dead letters and reads nothing itself; retry those letters again instead."
    if requested == APPROVAL:
        return f"The run waits for approval and goes on when people have decided. {_ONLY[action]}"
    being = f" and asked to {requested}" if requested else ""
    return f"The run is {state}{being}. {_ONLY[action]}"


def possible_actions(state: RunState, requested: str | None, *, repairs: bool = False) -> list[Action]:
    """The actions that would change something."""
    found = ((action, effect_of(action, state, requested, repairs=repairs)) for action in Action)
    return [action for action, effect in found if effect not in (None, Effect.NOTHING)]
