"""What the host does so that the durable client of every invocation costs little."""

import asyncio

import grpc
import pytest
from azure.durable_functions import DurableFunctionsClient
from azure.durable_functions.internal import azurefunctions_grpc_interceptor as sdk
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as service

from localhost.host.client_costs import cheap_clients
from localhost.host.durable import ClientEndpoints
from localhost.host.functions import Binding
from localhost.host.settings import DurableSettings


class Peers(service.TaskHubSidecarServiceServicer):
    """Notes over which connection each question came."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def GetInstance(self, request: pb.GetInstanceRequest, context: object) -> pb.GetInstanceResponse:
        self.seen.add(context.peer())  # type: ignore[attr-defined]
        return pb.GetInstanceResponse(exists=False)


async def _ask(endpoints: ClientEndpoints) -> None:
    """What an invocation does."""
    client = DurableFunctionsClient(endpoints.configuration(Binding("durableClient", "client", {})))
    assert await client.get_orchestration_state("nobody") is None
    await client.close()


@pytest.mark.parametrize("limit", [0, 8_000_000])
def test_clients_share_a_connection_and_know_their_version(limit: int) -> None:
    async def scenario() -> None:
        peers = Peers()
        server = grpc.aio.server()
        service.add_TaskHubSidecarServiceServicer_to_server(peers, server)  # type: ignore[no-untyped-call]
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        endpoints = ClientEndpoints(
            address, "http://localhost:1", DurableSettings(max_grpc_message_bytes=limit)
        )
        try:
            async with cheap_clients(endpoints):
                await _ask(endpoints)
                read = sdk.version.cache_info().misses  # type: ignore[attr-defined]
                for _ in range(4):
                    await _ask(endpoints)
        finally:
            await server.stop(None)
        assert len(peers.seen) == 1
        assert sdk.version.cache_info().misses == read  # type: ignore[attr-defined]

    asyncio.run(scenario())
