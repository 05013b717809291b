"""Messages between the host and its worker processes: length, then `marshal` of a tuple of plain values."""

import asyncio
import marshal
import struct
from typing import Any

_LENGTH = struct.Struct("!I")


def write_frame(writer: asyncio.StreamWriter, message: tuple[Any, ...]) -> None:
    """Queue a message. Its parts are None, numbers, text, bytes or tuples of those."""
    body = marshal.dumps(message)
    writer.write(_LENGTH.pack(len(body)) + body)


async def read_frame(reader: asyncio.StreamReader) -> tuple[Any, ...] | None:
    """The next message, or None when the other side has closed."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        # Both ends are this program, in the same version of Python.
        message: tuple[Any, ...] = marshal.loads(await reader.readexactly(length))  # noqa: S302
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    return message
