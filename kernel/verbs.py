"""The closed set of verbs and what each may do to the outside world."""

from enum import StrEnum


class SideEffect(StrEnum):
    """What a verb may do: read from a system, write to one, or neither."""

    READ = "read"
    WRITE = "write"
    PURE = "pure"


class Verb(StrEnum):
    """What one step does."""

    FETCH = "fetch"
    LOOKUP = "lookup"
    PUSH = "push"
    EXECUTE = "execute"
    TRANSFORM = "transform"
    GOVERN = "govern"
    LOGIC_GATE = "logic_gate"

    @property
    def side_effect(self) -> SideEffect:
        """The verb's side-effect class; the engine enforces it."""
        return _SIDE_EFFECTS[self]


_SIDE_EFFECTS = {
    Verb.FETCH: SideEffect.READ,
    Verb.LOOKUP: SideEffect.READ,
    Verb.PUSH: SideEffect.WRITE,
    Verb.EXECUTE: SideEffect.WRITE,
    Verb.TRANSFORM: SideEffect.PURE,
    Verb.GOVERN: SideEffect.PURE,
    Verb.LOGIC_GATE: SideEffect.PURE,
}
