"""Lists, in every style of paging, with traps for clients that trust what they are told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.support.erp_server.exact import json_response

FOREIGN = "http://127.0.0.1:9/stolen"


@dataclass(frozen=True)
class _Slice:
    """What was asked for and where it goes on."""

    items: list[Any]
    start: int
    size: int
    total: int
    url: str
    trap: str

    @property
    def following(self) -> int | None:
        """Where the next page starts, or what the trap says."""
        after = self.start + len(self.items)
        traps = {"loop": 0, "endless": self.start + self.size}
        return traps.get(self.trap, after if after < self.total else None)

    @property
    def next_url(self) -> str | None:
        """The address of the next page."""
        if self.trap == "foreign":
            return FOREIGN
        if self.following is None:
            return None
        return f"{self.url}?start={self.following}&size={self.size}&trap={self.trap}"


def page(style: str, records: list[Any], request: Request) -> Response:
    """One page of the records."""
    asked = request.query_params
    size = int(asked.get("size", "2"))
    start = int(asked.get("start", "0"))
    if "page" in asked:
        start = (int(asked["page"]) - 1) * size
    part = records[start : start + size]
    cut = _Slice(part, start, size, len(records), request.url.path, asked.get("trap", ""))
    return _STYLES[style](cut)


def _link_header(cut: _Slice) -> Response:
    links = {"Link": f'<{cut.next_url}>; rel="next"'} if cut.next_url else {}
    return json_response(200, cut.items, links)


def _next_url(cut: _Slice) -> Response:
    return json_response(200, {"value": cut.items, "@next.link": cut.next_url})


def _cursor(cut: _Slice) -> Response:
    return json_response(200, {"data": {"items": cut.items}, "meta": {"cursor": cut.following}})


def _page_number(cut: _Slice) -> Response:
    return json_response(200, {"items": cut.items, "pages": -(-cut.total // cut.size)})


def _offset_limit(cut: _Slice) -> Response:
    return json_response(200, {"items": cut.items, "total": cut.total})


_STYLES: Mapping[str, Callable[[_Slice], Response]] = {
    "link_header": _link_header,
    "next_url": _next_url,
    "cursor": _cursor,
    "page_number": _page_number,
    "offset_limit": _offset_limit,
}
