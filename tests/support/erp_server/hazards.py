"""How a fault shows on the wire."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import Response

from tests.support.erp_server.exact import json_response
from tests.support.erp_server.faults import Fault, FaultKind, RetryForm

type Process = Callable[[], Awaitable[Response]]

BUSY_SECONDS = 7
HUGE_SECONDS = 10**9
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


async def struck(fault: Fault, request: Request, process: Process) -> Response:
    """The answer, if there is one, of a request that the fault befalls."""
    return await _EFFECTS[fault.kind](fault, request, process)


async def _slow(fault: Fault, _request: Request, process: Process) -> Response:
    answer = await process()
    await asyncio.sleep(fault.seconds)
    return answer


async def _late(fault: Fault, request: Request, process: Process) -> Response:
    await request.body()  # kept by the request: once the client is gone it cannot be read any more
    state = request.app.state
    state.late += 1
    try:
        await asyncio.sleep(fault.seconds)
        return await process()
    finally:
        state.late -= 1


async def _never(fault: Fault, request: Request, process: Process) -> Response:
    if fault.accepted:
        await process()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def _reset_before(_fault: Fault, request: Request, _process: Process) -> Response:
    return _reset(request)


async def _reset_after(_fault: Fault, request: Request, process: Process) -> Response:
    await process()
    return _reset(request)


def _reset(request: Request) -> Response:
    # ASGI has no word for a broken line: reach through uvicorn's request cycle to its connection.
    transport: asyncio.Transport = request.receive.__self__.transport  # type: ignore[attr-defined]
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    transport.abort()
    return Response()


async def _busy(fault: Fault, _request: Request, _process: Process) -> Response:
    return _error(fault.status, "Too much to do", _retry_headers(fault.retry))


def _retry_headers(form: RetryForm) -> dict[str, str]:
    now = datetime.now(UTC).replace(microsecond=0)
    then, past = now + timedelta(seconds=BUSY_SECONDS), now - timedelta(days=1)
    return {
        RetryForm.NONE: {},
        RetryForm.SECONDS: {"Retry-After": str(BUSY_SECONDS)},
        RetryForm.DATE: {"Retry-After": format_datetime(then, usegmt=True)},
        RetryForm.MILLISECONDS: {"retry-after-ms": str(BUSY_SECONDS * 1000)},
        RetryForm.PAST: {"Retry-After": format_datetime(past, usegmt=True)},
        RetryForm.NONSENSE: {"Retry-After": "soon, I hope"},
        RetryForm.HUGE: {"Retry-After": str(HUGE_SECONDS)},
        RetryForm.RESET: {"X-Rate-Limit-Reset": str(int(then.timestamp()))},
    }[form]


async def _failed(fault: Fault, _request: Request, process: Process) -> Response:
    if fault.accepted:
        await process()
    return _error(fault.status, "Something broke")


async def _error_body(_fault: Fault, _request: Request, _process: Process) -> Response:
    return _error(200, "The period is closed")


async def _duplicated(_fault: Fault, _request: Request, process: Process) -> Response:
    answer = await process()
    await process()
    return answer


async def _echo(_fault: Fault, request: Request, _process: Process) -> Response:
    return _error(422, f"Cannot read request with authorization {request.headers.get('authorization')}")


async def _wrong_type(_fault: Fault, _request: Request, process: Process) -> Response:
    await process()
    return Response("<html>Welcome</html>", media_type="text/html")


async def _truncated(_fault: Fault, _request: Request, process: Process) -> Response:
    answer = await process()
    half = bytes(answer.body)[: len(answer.body) // 2] or b'{"results": ['
    return Response(half, answer.status_code, media_type="application/json")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(status, {"error": {"message": message}}, headers)


_EFFECTS: dict[FaultKind, Callable[[Fault, Request, Process], Awaitable[Response]]] = {
    FaultKind.SLOW: _slow,
    FaultKind.LATE: _late,
    FaultKind.NEVER: _never,
    FaultKind.RESET_BEFORE: _reset_before,
    FaultKind.RESET_AFTER: _reset_after,
    FaultKind.BUSY: _busy,
    FaultKind.FAILED: _failed,
    FaultKind.ERROR_BODY: _error_body,
    FaultKind.DUPLICATED: _duplicated,
    FaultKind.ECHO: _echo,
    FaultKind.WRONG_TYPE: _wrong_type,
    FaultKind.TRUNCATED: _truncated,
}
