"""What the host and a task hub promise each other.

A hub keeps orchestrations, timers, events and entities and decides what has to run next. It knows nothing of
functions: it hands work to a `Dispatcher` as encoded protocol buffers of the durabletask service and gets
encoded answers back. Bytes in, bytes out: another thread or process can do the work as well.
"""

import json
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from localhost.host.functions import Binding
from localhost.host.settings import DurableSettings
from localhost.taskhub.work import ActivityItem, ActivityOutcome, Dispatcher

__all__ = ["ActivityItem", "ActivityOutcome", "ClientEndpoints", "Dispatcher", "Hub"]

WEBHOOKS = "/runtime/webhooks/durabletask"
_CONNECTION = "Storage"


class Hub(Protocol):
    """A task hub. The host calls `open`, then keeps `run` as a task, and ends with `close`."""

    async def open(self) -> str:
        """Take ownership of the hub and serve clients; `host:port` of the gRPC endpoint. Nothing runs yet.

        Raises HostError if the hub cannot be opened, for example because another host owns it.
        """
        ...

    async def run(self, dispatcher: Dispatcher) -> None:
        """Dispatch work until `close`. Raises if the hub's state is no longer safe: the host then ends."""
        ...

    async def close(self) -> None:
        """Dispatch nothing new, wait for what runs, write everything down, end `run` and the endpoint.

        Does not wait without limit, and is called after a failed `run` as well.
        """
        ...


@dataclass(frozen=True)
class ClientEndpoints:
    """What a durable client binding needs to reach the hub and to build management URLs."""

    rpc_address: str
    base_url: str
    settings: DurableSettings = field(default_factory=DurableSettings)

    def configuration(self, binding: Binding) -> str:
        """The JSON that the Durable extension gives a durable client binding."""
        hub = binding.properties.get("taskHub") or self.settings.hub_name
        connection = binding.properties.get("connectionName") or _CONNECTION
        query = _query(hub, connection)
        webhooks = self.base_url + WEBHOOKS
        start = f"{webhooks}/orchestrators/{{functionName}}[/{{instanceId}}]?{query}"
        return json.dumps(
            {
                "taskHubName": hub,
                "connectionName": connection,
                "creationUrls": {
                    "createNewInstancePostUri": start,
                    "createAndWaitOnNewInstancePostUri": f"{start}&timeout={{timeoutInSeconds}}",
                },
                "managementUrls": _management_urls(webhooks, "INSTANCEID", query),
                "baseUrl": webhooks,
                "httpBaseUrl": webhooks,
                "requiredQueryStringParameters": query,
                # Without a trailing slash: gRPC cannot parse the port otherwise.
                "rpcBaseUrl": f"http://{self.rpc_address}",
                "maxGrpcMessageSizeInBytes": self.settings.max_grpc_message_bytes,
            }
        )

    def management_urls(self, origin: str, instance_id: str) -> dict[str, str]:
        """The URLs that manage one instance, as seen by a caller who reached the host at `origin`."""
        urls = _management_urls(
            origin + WEBHOOKS, quote(instance_id, safe=""), _query(self.settings.hub_name, _CONNECTION)
        )
        return {**urls, "id": instance_id}


def _query(hub: str, connection: str) -> str:
    return f"taskHub={hub}&connection={connection}"


def _management_urls(webhooks: str, instance_id: str, query: str) -> dict[str, str]:
    instance = f"{webhooks}/instances/{instance_id}"
    return {
        "id": instance_id,
        "statusQueryGetUri": f"{instance}?{query}",
        "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
        "purgeHistoryDeleteUri": f"{instance}?{query}",
        "restartPostUri": f"{instance}/restart?{query}",
        **{
            f"{action}PostUri": f"{instance}/{action}?reason={{text}}&{query}"
            for action in ("terminate", "rewind", "suspend", "resume")
        },
    }
