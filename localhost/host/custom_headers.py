"""Headers that host.json's `extensions.http.customHeaders` adds to every response."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def add_headers(application: ASGIApp, headers: Mapping[str, str]) -> ASGIApp:
    """`application` with these headers on its responses, where it sets none of that name itself."""
    if not headers:
        return application

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in headers.items():
                    own.setdefault(name, value)
            await send(message)

        await application(scope, receive, sending)

    return answer
