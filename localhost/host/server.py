"""The HTTP server: uvicorn, with the socket, the signals and the moment of readiness in the host's hands."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from localhost.host.errors import HostError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listening_socket(address: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises HostError if the port is in use or not allowed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        # Listening at once makes a second host fail here, not after it has loaded its app.
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise HostError(
                f"Port {port} is in use by another process. Stop that process, or choose a port with --port "
                "(--port 0 takes a free one)."
            ) from exc
        raise HostError(
            f"The host cannot listen on {address}:{port}: {exc.strerror}. Choose another --port."
        ) from exc
    return listener


class Server(uvicorn.Server):
    """uvicorn that says when it is ready and leaves signals to `stop_on_signals`."""

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

    def stop_on_signals(self) -> None:
        """The first SIGINT or SIGTERM drains requests in flight; the second one ends without waiting."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
