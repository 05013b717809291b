"""Which instances there are: the live ones in memory, the finished ones in the database."""

import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, ItemsView

from localhost.taskhub.model import Instance

type Fetch = Callable[[str], Awaitable[Instance | None]]


def new_execution_id() -> str:
    """An execution id as clients and workers see it."""
    return uuid.uuid4().hex


class Registry:
    """All live instances, and the finished ones used last. `fetch` reads any other from the database."""

    def __init__(self, fetch: Fetch, finished_in_memory: int) -> None:
        self._fetch = fetch
        self.limit = finished_in_memory
        self._instances: dict[str, Instance] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._removed: set[str] = set()
        self._changes = 0

    def get(self, instance_id: str) -> Instance | None:
        """The instance if it is in memory: every live one is."""
        return self._instances.get(instance_id)

    def live(self, instance_id: str) -> Instance | None:
        """The instance if it has not finished."""
        found = self._instances.get(instance_id)
        return None if found is None or found.finished else found

    def items(self) -> ItemsView[str, Instance]:
        """What is in memory."""
        return self._instances.items()

    def add(self, instance: Instance) -> None:
        """Make the instance known, in place of any other with its id."""
        previous = self._instances.get(instance.id)
        self._instances[instance.id] = instance
        self._finished.pop(instance.id, None)
        self._removed.discard(instance.id)
        if instance.finished:
            self.retire(instance)
        if previous is not None and previous is not instance:
            previous.announce()

    def retire(self, instance: Instance) -> None:
        """The instance has finished, durably: it may be forgotten when room is needed."""
        if self._instances.get(instance.id) is not instance or not instance.finished:
            return
        self._finished[instance.id] = None
        self._finished.move_to_end(instance.id)
        while len(self._finished) > self.limit:
            oldest, _ = self._finished.popitem(last=False)
            self._instances.pop(oldest).announce()
            self._changes += 1

    def remove(self, instance_id: str) -> bool:
        """Forget an instance that exists, unless it is live or already removed; whether that was done.

        The database still has it, until `removal_done`.
        """
        removed = self._instances.get(instance_id)
        if instance_id in self._removed or (removed is not None and not removed.finished):
            return False
        self._removed.add(instance_id)
        self._finished.pop(instance_id, None)
        if removed is not None:
            del self._instances[instance_id]
            removed.announce()
        return True

    def removal_done(self, instance_id: str) -> None:
        """The database does not have it either."""
        self._removed.discard(instance_id)
        self._changes += 1

    async def find(self, instance_id: str) -> Instance | None:
        """The instance, wherever it is."""
        while True:
            found = self._instances.get(instance_id)
            if found is not None or instance_id in self._removed:
                return found
            changes = self._changes
            fetched = await self._fetch(instance_id)
            if instance_id in self._instances or changes != self._changes:
                continue  # what was read may be older than what has happened meanwhile
            if fetched is not None:
                self.add(fetched)
            return fetched
