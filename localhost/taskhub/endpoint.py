"""The gRPC endpoint of a hub: clients, entities and outside workers on one loopback port."""

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as service

from localhost.taskhub.client_service import ClientService
from localhost.taskhub.clients import Clients
from localhost.taskhub.core import Core
from localhost.taskhub.entity_clients import EntityClients
from localhost.taskhub.entity_service import EntityService
from localhost.taskhub.errors import HubUnavailable, WrongStatus
from localhost.taskhub.purging import Purging
from localhost.taskhub.reader import Reader
from localhost.taskhub.rpc import Context, answers
from localhost.taskhub.worker_service import WorkerService

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_GRACE_SECONDS = 0.5


class TaskHubService(ClientService, EntityService, WorkerService, service.TaskHubSidecarServiceServicer):
    """The whole service."""

    def __init__(self, core: Core, reader: Reader) -> None:
        self._core = core
        self._clients = Clients(core, reader)
        self._purging = Purging(core, reader)
        self._entities = EntityClients(core)
        self._tokens = {}
        self._partial = {}

    @answers
    async def DeleteTaskHub(
        self, request: pb.DeleteTaskHubRequest, context: Context
    ) -> pb.DeleteTaskHubResponse:
        """Not while it is open."""
        raise WrongStatus("A task hub that is open cannot be deleted.")


class Endpoint:
    """A running server. `address` is host:port."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.address = f"127.0.0.1:{port}"

    @classmethod
    async def open(cls, core: Core, reader: Reader, port: int) -> "Endpoint":
        """Listen on a loopback port; 0 takes a free one."""
        server = grpc.aio.server(options=[*_OPTIONS, ("grpc.so_reuseport", 0)])
        service.add_TaskHubSidecarServiceServicer_to_server(TaskHubService(core, reader), server)  # type: ignore[no-untyped-call]
        try:
            bound = server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError as exc:
            raise HubUnavailable(f"The task hub cannot listen on port {port}: {exc}. Is it in use?") from exc
        await server.start()
        return cls(server, bound)

    async def close(self) -> None:
        """Let calls that are nearly done end, break the others off."""
        await self._server.stop(_GRACE_SECONDS)
