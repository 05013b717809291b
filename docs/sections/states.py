"""States and what may follow them."""

from collections.abc import Mapping

from docs.sections.tables import code
from docs.sections.tables import table as table_of
from workflows.states import (
    ApprovalState,
    DeadLetterState,
    NotificationState,
    PostingState,
    RunState,
    State,
    TaskState,
    successors,
)

_ENTITIES: Mapping[str, type[State]] = {
    "run": RunState,
    "task": TaskState,
    "posting": PostingState,
    "dead_letter": DeadLetterState,
    "approval": ApprovalState,
    "notification": NotificationState,
}


def table(entity: str) -> str:
    """Each state with those that may follow."""
    rows = (
        (code(state), ", ".join(map(code, _following(state))) or "nothing") for state in _ENTITIES[entity]
    )
    return table_of(("state", "may become"), rows)


def diagram(entity: str) -> str:
    """The same as a Mermaid state diagram. The first state is where everything begins."""
    states: list[State] = list(_ENTITIES[entity])
    arrows = [f"    [*] --> {states[0]}"]
    arrows += [f"    {state} --> {after}" for state in states for after in _following(state)]
    arrows += [f"    {state} --> [*]" for state in states if not _following(state)]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def _following(state: State) -> list[State]:
    order = list(type(state))
    return sorted(successors(state), key=order.index)
