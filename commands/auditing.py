"""Prove that the audit streams are what was written."""

from commands.deployment import Deployment
from kernel.errors import NotFound
from store import audit_chain
from store.audit_chain import StreamReport


def verify_audit(deployment: Deployment, stream: str | None = None) -> list[StreamReport]:
    """Walk through one stream or all of them; raises `NotFound` for a stream that was never written."""
    with deployment.database.reading() as connection:
        known = audit_chain.streams(connection)
    if stream is not None and stream not in known:
        raise NotFound(f"There is no audit stream {stream!r}; without `stream` all of them are verified.")
    return [_verified(deployment, name) for name in ([stream] if stream is not None else known)]


def _verified(deployment: Deployment, stream: str) -> StreamReport:
    with deployment.database.reading(frozen=True) as connection:
        return audit_chain.verify_stream(connection, stream)
