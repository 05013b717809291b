"""What no other endpoint serves: a clear 404 or 405 instead of an empty answer. Anyone may hear it: which
addresses there are is public."""

import re
from collections.abc import Sequence

from kernel.errors import MethodNotAllowed, NotFound
from triggers.http import Answer, Endpoint, Request
from triggers.views import View

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def fallback_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The endpoint for every address that `endpoints`, which are below `/api`, do not serve."""
    patterns = [(endpoint.method, _pattern(f"api/{endpoint.path}")) for endpoint in endpoints]

    def refuse(request: Request) -> Answer:
        path = request.path("path")
        allowed = sorted({method for method, pattern in patterns if pattern.fullmatch(path)})
        offered = (*allowed, "OPTIONS")
        if allowed and request.http.method == "OPTIONS":
            return Answer(None, 204, {"Allow": ", ".join(offered)})
        if allowed:
            said = f"/{path} does not take {request.http.method}; use {' or '.join(allowed)}."
            raise MethodNotAllowed(said, allowed=offered)
        raise NotFound(f"There is nothing at /{path}; /api/openapi.json lists what there is.")

    return Endpoint("not_found", "GET", "{*path}", "Everything else", refuse, View, anonymous=True)


def _pattern(path: str) -> re.Pattern[str]:
    whole = re.sub(r"\\\{\\\*\w+\\\}", ".+", re.escape(path))
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", whole), re.IGNORECASE)
