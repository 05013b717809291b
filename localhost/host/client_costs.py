"""Keeps durable clients cheap. The SDK makes a new one for every invocation: with a channel of its own, and
after reading its own version from a file. Together that was a quarter of the time of a short orchestration.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import grpc
from azure.durable_functions.internal import azurefunctions_grpc_interceptor as sdk

from localhost.host.durable import ClientEndpoints


@contextlib.asynccontextmanager
async def cheap_clients(endpoints: ClientEndpoints) -> AsyncIterator[None]:
    """While this lasts, making durable clients on the running loop costs little, and they share a connection.

    gRPC shares connections between channels of one process that have the same target and the same options,
    for as long as one of them lives: this keeps one that looks like the SDK's.
    """
    _remember_version()
    async with grpc.aio.insecure_channel(endpoints.rpc_address, options=_options(endpoints)) as channel:
        connected = asyncio.create_task(_stay_connected(channel))
        try:
            yield
        finally:
            connected.cancel()
            await asyncio.wait([connected])


def _options(endpoints: ClientEndpoints) -> list[tuple[str, int]] | None:
    limit = endpoints.settings.max_grpc_message_bytes
    sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
    return [(size, limit) for size in sizes] if limit else None


async def _stay_connected(channel: Any) -> None:
    # A channel that nobody uses goes to sleep after half an hour.
    while True:
        await channel.wait_for_state_change(channel.get_state(try_to_connect=True))


def _remember_version() -> None:
    # Every client asks for the SDK's version; it cannot change while the SDK is loaded.
    read = sdk.version  # type: ignore[attr-defined]
    if not hasattr(read, "cache_info"):
        sdk.version = functools.cache(read)  # type: ignore[attr-defined]
