"""A guard for the host's own endpoints: they are for programs on this machine, nobody else."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def local_only(application: ASGIApp) -> ASGIApp:
    """`application` for callers on this machine; anyone else gets 403.

    A browser can be made to call localhost by any page it shows, so a foreign `Origin` is refused as well.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if _is_local(scope):
            await application(scope, receive, send)
        else:
            refusal = PlainTextResponse("Only programs on this machine may call this.", status_code=403)
            await refusal(scope, receive, send)

    return guarded


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    return client is not None and _is_loopback(client[0]) and (not origin or _is_loopback(_host_of(origin)))


def _host_of(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
