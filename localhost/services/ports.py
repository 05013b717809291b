"""Loopback ports: which are free, and which process listens on one."""

import socket
from collections.abc import Iterable

import psutil

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # A port whose last connections are still in TIME_WAIT is free for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
        return True


def listens(process: psutil.Process, ports: Iterable[int]) -> bool:
    """Whether this very process, and not another one, listens on all these ports."""
    try:
        connections = process.net_connections(kind="tcp4")
    except psutil.Error:
        return False
    return set(ports) <= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
