"""What the parts of the gRPC service share: errors as status codes."""

import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import grpc

from localhost.taskhub import errors

_CODES: Mapping[type[errors.HubError], grpc.StatusCode] = {
    errors.UnknownInstance: grpc.StatusCode.NOT_FOUND,
    errors.InstanceExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongStatus: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
}

type Context = grpc.aio.ServicerContext[Any, Any]
type _Method[S, Q, A] = Callable[[S, Q, Context], Awaitable[A]]


def answers[S, Q, A](method: _Method[S, Q, A]) -> Callable[[S, Q, Context], Coroutine[Any, Any, A]]:
    """Make an RPC method answer the hub's errors with the status code that fits."""

    @functools.wraps(method)
    async def guarded(self: S, request: Q, context: Context) -> A:
        try:
            return await method(self, request, context)
        except errors.HubError as exc:
            await context.abort(_CODES.get(type(exc), grpc.StatusCode.UNAVAILABLE), str(exc))
            raise

    return guarded
