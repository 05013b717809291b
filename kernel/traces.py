"""Where an unexpected error came from, without its message: messages may quote record values."""

import traceback


def trace_of(error: BaseException) -> str:
    """The type and stack of an error and its causes, source lines only."""
    parts = []
    current: BaseException | None = error
    while current is not None:
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{type(current).__module__}.{type(current).__qualname__}\n{frames}")
        current = current.__cause__ or current.__context__
    return "caused by ".join(parts)
