"""The `Authorization` header."""

import azure.functions as func

_SCHEME = "bearer "


def bearer_token(request: func.HttpRequest) -> str | None:
    """What the request bears (RFC 6750), or `None`."""
    given: str = request.headers.get("Authorization") or ""
    return given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else None
