"""New instances: started by clients, entities, and parents."""

from dataclasses import dataclass, field

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events, rows
from localhost.taskhub.completion import Completion
from localhost.taskhub.events import text
from localhost.taskhub.ids import is_instance_id
from localhost.taskhub.inbox import EXECUTION_STARTED, Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Instance, Parent
from localhost.taskhub.registry import Registry, new_execution_id
from localhost.taskhub.timers import Timers


@dataclass(frozen=True)
class NewInstance:
    """What to start. `at` (seconds since 1970) is a scheduled start."""

    id: str
    name: str
    input: str | None = None
    version: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    at: float | None = None
    trace: pb.TraceContext | None = None
    parent: Parent | None = None
    root: str | None = None
    execution_id: str | None = None


class Starts:
    """Starts instances."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        timers: Timers,
        inbox: Inbox,
        completion: Completion,
        default_version: str | None,
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._completion = completion
        self._default_version = default_version

    def start(self, wanted: NewInstance) -> Instance:
        """Create an instance, in place of any other with its id."""
        previous = self._registry.live(wanted.id)
        if previous is not None:
            self._completion.discard(previous)
        instance = Instance(
            wanted.id,
            wanted.name,
            execution=self._journal.next_id(),
            execution_id=wanted.execution_id or new_execution_id(),
            now=self._timers.now(),
        )
        instance.version = wanted.version or self._default_version
        instance.input = wanted.input
        instance.tags = wanted.tags
        instance.scheduled_start = wanted.at
        instance.parent = wanted.parent
        instance.root = wanted.root or wanted.id
        self._registry.add(instance)
        self._journal.changed(instance)
        event = started_event(instance, self._timers.now(), wanted.trace)
        self._inbox.send(instance, EXECUTION_STARTED, event, wanted.at)
        return instance

    def start_child(
        self, parent: Instance, task_id: int, action: pb.CreateSubOrchestrationAction, child_id: str
    ) -> None:
        """Create a sub-orchestration. One whose id is taken by a live instance fails for the parent."""
        link = Parent(parent.id, parent.name, parent.execution, parent.execution_id, task_id)
        if not is_instance_id(child_id):
            self._refuse_child(parent, task_id, "InvalidInstanceId", f"{child_id[:100]!r} cannot be an id.")
            return
        if self._registry.live(child_id) is not None:
            message = f"An orchestration with the id '{child_id}' is already running."
            self._refuse_child(parent, task_id, "OrchestrationAlreadyExists", message)
            return
        parent.children[task_id] = child_id
        self.start(
            NewInstance(
                id=child_id,
                name=action.name,
                input=action.input.value if action.HasField("input") else None,
                version=action.version.value if action.HasField("version") else None,
                tags=dict(action.tags),
                trace=action.parentTraceContext if action.HasField("parentTraceContext") else None,
                parent=link,
                root=parent.root,
            )
        )

    def _refuse_child(self, parent: Instance, task_id: int, kind: str, message: str) -> None:
        failure = pb.TaskFailureDetails(errorType=kind, errorMessage=message, isNonRetriable=True)
        sort, event = events.child_finished(self._timers.now(), task_id, None, failure)
        self._inbox.send(parent, sort, event)


def started_event(instance: Instance, now: float, trace: pb.TraceContext | None = None) -> bytes:
    """The first event of an execution."""
    started = pb.ExecutionStartedEvent(
        name=instance.name,
        version=text(instance.version),
        input=text(instance.input),
        orchestrationInstance=pb.OrchestrationInstance(
            instanceId=instance.id, executionId=text(instance.execution_id)
        ),
        parentInstance=rows.parent_info(instance.parent) if instance.parent else None,
        parentTraceContext=trace,
        tags=instance.tags,
    )
    if instance.scheduled_start is not None:
        started.scheduledStartTimestamp.CopyFrom(events.timestamp(instance.scheduled_start))
    return events.encode(now, executionStarted=started)
