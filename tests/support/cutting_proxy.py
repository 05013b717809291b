"""A TCP proxy on the loopback address that counts round trips and can cut the line at a chosen message."""

import math
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 65_536


@dataclass
class CuttingProxy:
    """Passes bytes between clients and one server.

    Once a client's bytes contain `cut_at`, its line is cut: before the server sees them or, with
    `deliver_first`, after the server has answered but before the client hears of it. `cuts` is how often.
    """

    target: tuple[str, int]
    cut_at: bytes = b""
    deliver_first: bool = False
    cuts: float = math.inf
    round_trips: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    def listen(self) -> None:
        """Accept clients until `close`."""
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more clients."""
        with suppress(OSError):
            # close() alone would not wake the thread that waits in accept().
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server, suppress(OSError):
            while self._relay(client, server):
                pass

    def _relay(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what is ready; tells whether the line goes on."""
        ready, _, _ = select.select([client, server], [], [])
        if server in ready:
            data = server.recv(_CHUNK)
            client.sendall(data)
            return bool(data)
        data = client.recv(_CHUNK)
        self.round_trips += 1
        if self.cut_at and self.cut_at in data and self.cuts > 0:
            self.cuts -= 1
            if self.deliver_first:
                server.sendall(data)
                server.recv(_CHUNK)
            return False
        server.sendall(data)
        return bool(data)


@contextmanager
def cutting_proxy(host: str, port: int) -> Iterator[CuttingProxy]:
    """A listening proxy before the server at `host` and `port`."""
    proxy = CuttingProxy((host, port))
    proxy.listen()
    try:
        yield proxy
    finally:
        proxy.close()
