"""From one page to the next, and when to stop. Works on answers and sends nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.datasource.rest.operations import Cursor, LinkHeader, NextUrl, OffsetLimit, PageNumber, Pages
from adapters.datasource.rest.places import given_at, shown
from adapters.datasource.rest.scrubbing import plain_text
from kernel.errors import InvalidData


@dataclass(frozen=True)
class Next:
    """How to ask for a page: at an address that the system gave, or with these query parameters."""

    url: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What an answer says about paging: its data, its `Link` to the next page, and how many items it has."""

    data: Any
    link: str | None
    items: int


@dataclass(frozen=True)
class _Position:
    """Pages and items so far, the last page included."""

    pages: int
    items: int


class Pager:
    """Walks the pages of one FETCH: `first()` is the first request, `after(page)` the following one.

    `after` raises `InvalidData` when the system points to a page for the second time, or to more pages than
    allowed.
    """

    def __init__(self, pages: Pages | None, max_pages: int) -> None:
        self._pages = pages
        self._max_pages = max_pages
        self._asked = 0
        self._items = 0
        self._seen: set[str] = set()

    def first(self) -> Next:
        """How to ask for the first page."""
        if isinstance(self._pages, PageNumber):
            return Next(query={self._pages.parameter: str(self._pages.first)})
        if isinstance(self._pages, OffsetLimit):
            return _offset(self._pages, self._pages.first)
        return Next()

    def after(self, page: Page) -> Next | None:
        """How to ask for the page after this one; `None` at the end."""
        self._asked += 1
        self._items += page.items
        if self._pages is None:
            return None
        following = _FOLLOWING[type(self._pages)](self._pages, page, _Position(self._asked, self._items))
        if following is not None:
            self._guard(following)
        return following

    def _guard(self, following: Next) -> None:
        if self._asked >= self._max_pages:
            raise InvalidData(
                f"There are more than {self._max_pages} pages. Narrow the operation, or raise max_pages."
            )
        mark = following.url or repr(sorted(following.query.items()))
        if mark in self._seen:
            raise InvalidData(
                "The system points to the same page again, so that reading would never end. Check how the "
                "operation's pages are described, or ask the system's owner."
            )
        self._seen.add(mark)


def _by_link(_pages: LinkHeader, page: Page, _position: _Position) -> Next | None:
    return Next(url=page.link) if page.link else None


def _by_url(pages: NextUrl, page: Page, _position: _Position) -> Next | None:
    url = given_at(page.data, pages.next)
    if url is None:
        return None
    if not isinstance(url, str):
        raise InvalidData(f"What is at {shown(pages.next)} is no address of a next page.")
    return Next(url=url)


def _by_cursor(pages: Cursor, page: Page, _position: _Position) -> Next | None:
    found = given_at(page.data, pages.next)
    if found is None:
        return None
    cursor = plain_text(found)
    if not cursor:
        raise InvalidData(f"What is at {shown(pages.next)} is no token for a next page.")
    return Next(query={pages.parameter: cursor})


def _by_number(pages: PageNumber, page: Page, position: _Position) -> Next | None:
    total = _count(page, pages.total_pages)
    ended = page.items == 0 if total is None else position.pages >= total
    return None if ended else Next(query={pages.parameter: str(pages.first + position.pages)})


def _by_offset(pages: OffsetLimit, page: Page, position: _Position) -> Next | None:
    total = _count(page, pages.total)
    if page.items == 0 and total is not None and position.items < total:
        raise InvalidData(
            f"The system says that it has {total} records and delivers {position.items}. Records changed "
            "meanwhile; run it again."
        )
    ended = page.items == 0 if total is None else position.items >= total
    return None if ended else _offset(pages, pages.first + position.items)


def _offset(pages: OffsetLimit, offset: int) -> Next:
    return Next(query={pages.offset: str(offset), pages.limit: str(pages.size)})


def _count(page: Page, place: tuple[str, ...] | None) -> int | None:
    """The total that the answer has at the place, if it should have one."""
    if place is None:
        return None
    text = plain_text(given_at(page.data, place))
    if not text.isdecimal():
        raise InvalidData(f"The answer has no count at {shown(place)}.")
    return int(text)


_FOLLOWING: Mapping[type, Callable[[Any, Page, _Position], Next | None]] = {
    LinkHeader: _by_link,
    NextUrl: _by_url,
    Cursor: _by_cursor,
    PageNumber: _by_number,
    OffsetLimit: _by_offset,
}
