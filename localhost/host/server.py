"""The HTTP server: uvicorn, with the socket, the signals and the moment of readiness in the host's hands."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from localhost.host.errors import HostError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPED_BY_SIGNAL = 130
_KEEP_ALIVE_SECONDS = (
    130  # as the Functions host; clients with a shorter limit never meet a closing connection
)


def listening_socket(address: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises HostError if the port is in use or not allowed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio switches Nagle's algorithm off only for sockets that name their protocol; with it on, a response
    # that is written in two parts waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        # Listening at once makes a second host fail here, not after it has loaded its app.
        listener.listen(2048)
    except (OSError, OverflowError) as exc:
        listener.close()
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            raise HostError(
                f"Port {port} is in use by another process. Stop that process, or choose a port with --port "
                "(--port 0 takes a free one)."
            ) from exc
        raise HostError(f"The host cannot listen on {address}:{port}: {exc}. Choose another --port.") from exc
    return listener


class Server(uvicorn.Server):
    """uvicorn that says when it is ready and is stopped only by the host."""

    def __init__(self, application: ASGIApp, *, on_ready: Callable[[], None], drain_seconds: int) -> None:
        config = uvicorn.Config(
            application,
            loop="asyncio",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's own start, then the signal to whoever waits."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again after a graceful stop, and the exit code would not be 0."""
        yield

    def stop(self) -> None:
        """Accept nothing more and finish what is in flight. Asked a second time, end the process at once."""
        if self.should_exit:
            os._exit(_STOPPED_BY_SIGNAL)
        self.should_exit = True

    def stop_on_signals(self) -> None:
        """Stop on SIGINT and SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)

    def stop_on_end_of(self, pipe: int) -> None:
        """Stop when the other end of a pipe is closed, by intent or because its process has ended."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(pipe)
            self.stop()

        loop.add_reader(pipe, ended)

    def stop_on_failure(self, task: asyncio.Task[None]) -> None:
        """Stop, without waiting for requests, if a task that the host depends on has failed."""
        if not task.cancelled() and task.exception() is not None:
            self.should_exit = self.force_exit = True
