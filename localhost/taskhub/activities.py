"""Activities from schedule to result."""

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import dispatch, events
from localhost.taskhub.dispatch import Dispatch
from localhost.taskhub.events import text, unwrapped
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Activity, Instance
from localhost.taskhub.registry import Registry
from localhost.taskhub.timers import Timers
from localhost.taskhub.work import ActivityItem, ActivityOutcome

_RETRY_SECONDS = 1.0


class ActivityWork:
    """One activity for a consumer. See `dispatch.Work`."""

    kind = dispatch.ACTIVITY

    def __init__(self, activities: "Activities", activity: Activity) -> None:
        self._activities = activities
        self.activity = activity
        self.root = activity.root
        self.name = activity.name
        self.version = activity.version

    def begin(self) -> ActivityItem | None:
        """The item, unless nobody waits for the result any more."""
        if self._activities.waiting(self.activity) is None:
            return None
        scheduled = pb.TaskScheduledEvent.FromString(self.activity.event)
        trace = scheduled.parentTraceContext
        return ActivityItem(
            name=scheduled.name,
            input=unwrapped(scheduled, "input"),
            instance_id=self.activity.instance_id,
            task_id=self.activity.task_id,
            trace_parent=trace.traceParent,
            trace_state=trace.traceState.value,
        )

    def finish(self, answer: ActivityOutcome) -> None:
        """Send the result to the orchestration."""
        self._activities.finish(self.activity, answer)

    def abandon(self) -> None:
        """Try again a little later."""
        self._activities.retry(self)


class Activities:
    """Schedules activities and sends their results to the instances that wait for them."""

    def __init__(
        self, registry: Registry, journal: Journal, timers: Timers, dispatch: Dispatch, inbox: Inbox
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._dispatch = dispatch
        self._inbox = inbox

    def schedule(self, instance: Instance, activity: Activity) -> None:
        """Run the activity once the turn that asked for it is durable."""
        instance.activities[activity.task_id] = activity
        self._journal.after(lambda: self._dispatch.push(ActivityWork(self, activity)))

    def resume(self, activity: Activity) -> None:
        """Run an activity that the database knows as scheduled."""
        self._dispatch.push(ActivityWork(self, activity))

    def waiting(self, activity: Activity) -> Instance | None:
        """The instance that waits for exactly this activity, if it still does."""
        instance = self._registry.live(activity.instance_id)
        if instance is None or instance.activities.get(activity.task_id) is not activity:
            return None
        return instance

    def finish(self, activity: Activity, outcome: ActivityOutcome) -> None:
        """Deliver a result; one that nobody waits for is dropped."""
        instance = self.waiting(activity)
        if instance is None:
            return
        del instance.activities[activity.task_id]
        kind, event = self._result(activity.task_id, outcome)
        self._inbox.send(instance, kind, event)

    def retry(self, work: ActivityWork) -> None:
        """Somebody took the activity and gave it back."""
        self._timers.at(self._timers.now() + _RETRY_SECONDS, lambda: self._dispatch.push(work))

    def _result(self, task_id: int, outcome: ActivityOutcome) -> tuple[str, bytes]:
        now = self._timers.now()
        if outcome.failure is not None:
            failed = pb.TaskFailedEvent(taskScheduledId=task_id)
            failed.failureDetails.MergeFromString(outcome.failure)
            return "taskFailed", events.encode(now, taskFailed=failed)
        completed = pb.TaskCompletedEvent(taskScheduledId=task_id, result=text(outcome.result))
        return "taskCompleted", events.encode(now, taskCompleted=completed)
