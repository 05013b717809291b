"""The task hub of a host: persistent, in PostgreSQL, dispatched in this process."""

from localhost.host.durable import Dispatcher
from localhost.host.errors import HostError
from localhost.host.hub_database import HubDatabase
from localhost.host.settings import DurableSettings
from localhost.taskhub import statuses
from localhost.taskhub.errors import HubError
from localhost.taskhub.hub import TaskHub
from localhost.taskhub.options import HubOptions


class PersistentHub:
    """Implements `durable.Hub`. Everything in it survives the process, however that ends."""

    def __init__(self, settings: DurableSettings, database: HubDatabase) -> None:
        self._settings = settings
        self._database = database
        self._hub: TaskHub | None = None

    async def open(self) -> str:
        """See `durable.Hub`."""
        url = await self._database.open()
        try:
            self._hub = await TaskHub.open(url, self._settings.hub_name, options=self._options())
            return await self._hub.serve()
        except HubError as exc:
            await self.close()
            raise HostError(str(exc)) from exc

    async def run(self, dispatcher: Dispatcher) -> None:
        """See `durable.Hub`."""
        assert self._hub is not None
        await self._hub.attach(dispatcher)
        await self._hub.lost

    async def close(self) -> None:
        """See `durable.Hub`."""
        if self._hub is not None:
            await self._hub.close()
        await self._database.close()

    def _options(self) -> HubOptions:
        replaceable = statuses.FINISHED | (statuses.OPEN if self._settings.replace_running else frozenset())
        return HubOptions(
            default_version=self._settings.default_version,
            replaceable=replaceable,
            max_turns=self._settings.max_concurrent_orchestrations,
            max_activities=self._settings.max_concurrent_activities,
            max_batches=self._settings.max_concurrent_entities,
            own_thread=True,
        )
