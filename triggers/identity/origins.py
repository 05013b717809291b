"""Requests that a browser sends by itself, with whatever cookie it has, because a foreign page told it to."""

from urllib.parse import urlsplit

import azure.functions as func

from kernel.errors import Forbidden

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})


def refuse_foreign_origin(request: func.HttpRequest) -> None:
    """Raise `Forbidden` when a request that may change something was made by a page of another site.

    `Sec-Fetch-Site` is set by the browser and cannot be set by pages (Fetch Metadata); `Origin` says the same
    for older ones.
    """
    if request.method.upper() in _SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    host = request.headers.get("Host") or urlsplit(request.url).netloc
    foreign = site not in _OWN if site is not None else origin is not None and urlsplit(origin).netloc != host
    if foreign:
        raise Forbidden("The request was made by a page of another site; it is refused.")
