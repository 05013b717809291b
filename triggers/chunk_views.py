"""What the API gives about chunks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from store.chunks import ChunkRow
from store.dead_letters import DeadLetter
from store.nested_runs import NestedRun
from store.posting_list import PostingDetail
from store.runs import TaskRow
from store.transitions import Transition
from triggers.posting_views import LetterView, PostingView, TransitionView
from triggers.views import ChildView, FailureView, TaskView, View, failure_view


class ChunkView(View):
    """One record of a dispatch and what becomes of it. `key` are the values that identify it; sensitive ones
    are taken out. `wake_at` is until when it waits before it tries again."""

    id: UUID
    run_id: UUID
    step: str
    number: int = Field(description="Its place in the dispatch, from 0")
    key: dict[str, Any]
    state: str
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    wake_at: datetime | None
    failure: FailureView | None
    child_run_id: UUID | None = Field(
        description="The run that does its work, where a workflow is dispatched"
    )

    @classmethod
    def of(cls, row: ChunkRow) -> "ChunkView":
        """The view of a row."""
        named = {"step": row.step_key, "key": dict(row.shown), "failure": failure_view(row.failure)}
        return cls.model_validate({**vars(row), **named})


class ChunkListView(View):
    """Part of the chunks of a run, in their order. Pass `next` as `cursor` to get the following part; `null`
    means the end. The first part has `counts` by state, whatever state or key was asked for."""

    items: list[ChunkView]
    next: str | None = None
    counts: dict[str, int] | None = None


class ChunkDetailView(ChunkView):
    """One chunk with everything that is known of it. `tasks` are the steps that have begun, in order.
    `postings` and `dead_letters` are the newest, at most 50 of each; their lists take `chunk`."""

    tasks: list[TaskView]
    postings: list[PostingView]
    dead_letters: list[LetterView]
    child: ChildView | None
    transitions: list[TransitionView]

    @classmethod
    def with_details(
        cls,
        row: ChunkRow,
        tasks: Mapping[str, TaskRow],
        written: tuple[Sequence[PostingDetail], Sequence[DeadLetter]],
        child: NestedRun | None,
        changes: Sequence[Transition],
    ) -> "ChunkDetailView":
        """The view of a chunk; `written` are its postings and dead letters."""
        postings, letters = written
        return cls(
            **ChunkView.of(row).model_dump(),
            tasks=[TaskView.of(task) for task in tasks.values()],
            postings=[PostingView.of(posting) for posting in postings],
            dead_letters=[LetterView.of(letter) for letter in letters],
            child=None if child is None else ChildView.of(child),
            transitions=[TransitionView.model_validate(change) for change in changes],
        )
