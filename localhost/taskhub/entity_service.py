"""The gRPC service for clients: entities."""

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub.entity_clients import EntityClients, EntityFilter, backlog
from localhost.taskhub.events import seconds, text, timestamp, unwrapped
from localhost.taskhub.model import Entity
from localhost.taskhub.rpc import Context, answers


class EntityService:
    """Methods of TaskHubSidecarService that clients call about entities."""

    _entities: EntityClients

    @answers
    async def SignalEntity(
        self, request: pb.SignalEntityRequest, context: Context
    ) -> pb.SignalEntityResponse:
        """Send an operation."""
        at = seconds(request.scheduledTime) if request.HasField("scheduledTime") else None
        await self._entities.signal(
            request.instanceId, request.name, unwrapped(request, "input"), at, request.requestId
        )
        return pb.SignalEntityResponse()

    @answers
    async def GetEntity(self, request: pb.GetEntityRequest, context: Context) -> pb.GetEntityResponse:
        """An entity; one without state does not exist."""
        entity = await self._entities.get(request.instanceId)
        if entity is None:
            return pb.GetEntityResponse(exists=False)
        return pb.GetEntityResponse(exists=True, entity=_metadata(entity, state=request.includeState))

    @answers
    async def QueryEntities(
        self, request: pb.QueryEntitiesRequest, context: Context
    ) -> pb.QueryEntitiesResponse:
        """One page of the entities that match."""
        query = request.query
        wanted = EntityFilter(
            prefix=query.instanceIdStartsWith.value,
            modified_from=seconds(query.lastModifiedFrom) if query.HasField("lastModifiedFrom") else None,
            modified_to=seconds(query.lastModifiedTo) if query.HasField("lastModifiedTo") else None,
            without_state=query.includeTransient,
        )
        token = unwrapped(query, "continuationToken")
        page, following = await self._entities.query(wanted, token, query.pageSize.value)
        entities = [_metadata(entity, state=query.includeState) for entity in page]
        return pb.QueryEntitiesResponse(entities=entities, continuationToken=text(following))

    @answers
    async def CleanEntityStorage(
        self, request: pb.CleanEntityStorageRequest, context: Context
    ) -> pb.CleanEntityStorageResponse:
        """Release locks that nobody holds. Entities without state are forgotten at once anyway."""
        released = await self._entities.release_orphaned_locks() if request.releaseOrphanedLocks else 0
        return pb.CleanEntityStorageResponse(emptyEntitiesRemoved=0, orphanedLocksReleased=released)


def _metadata(entity: Entity, *, state: bool) -> pb.EntityMetadata:
    return pb.EntityMetadata(
        instanceId=entity.id,
        lastModifiedTime=timestamp(entity.modified),
        backlogQueueSize=sum(1 for _ in backlog(entity)),
        lockedBy=text(entity.lock_owner),
        serializedState=text(entity.state) if state else None,
    )
