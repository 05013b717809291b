"""Walking pages: everything is read once, and no system can keep us for ever."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters.datasource.rest.operations import Pages
from adapters.datasource.rest.pages import Next, Page, Pager
from kernel.errors import InvalidData

STYLES: list[dict[str, Any]] = [
    {"style": "link_header"},
    {"style": "next_url", "next": ["@next.link"]},
    {"style": "cursor", "next": "meta.cursor", "parameter": "cursor"},
    {"style": "page_number", "first": 1},
    {"style": "page_number", "first": 0, "total_pages": "pages"},
    {"style": "offset_limit", "size": 3},
    {"style": "offset_limit", "size": 3, "first": 1, "total": "total"},
]
MAX_PAGES = 40


def pager(style: dict[str, Any], max_pages: int = MAX_PAGES) -> Pager:
    return Pager(TypeAdapter(Pages).validate_python(style), max_pages)


def walk(style: dict[str, Any], server: "Server", max_pages: int = MAX_PAGES) -> list[int]:
    """All items that the server delivers."""
    walker, items = pager(style, max_pages), []
    asked: Next | None = walker.first()
    while asked is not None:
        delivered, page = server.answer(style, asked)
        items += delivered
        asked = walker.after(page)
    return items


class Server:
    """Numbers in pages of 3, told in any style."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    def answer(self, style: dict[str, Any], asked: Next) -> tuple[list[int], Page]:
        self.asked += 1
        start = self.start(style, asked)
        items = list(range(self.count))[start : start + 3]
        following = str(start + 3) if start + 3 < self.count else None
        data = {
            "@next.link": following,
            "meta": {"cursor": following},
            "pages": -(-self.count // 3),
            "total": self.count,
        }
        return items, Page(data, following, len(items))

    @staticmethod
    def start(style: dict[str, Any], asked: Next) -> int:
        if asked.url:
            return int(asked.url)
        if "page" in asked.query:
            return (int(asked.query["page"]) - int(style["first"])) * 3
        if "offset" in asked.query:
            return int(asked.query["offset"]) - int(style.get("first", 0))
        return int(asked.query.get("cursor", "0"))


@given(st.sampled_from(STYLES), st.integers(0, 100))
def test_every_item_comes_once_in_every_style(style: dict[str, Any], count: int) -> None:
    assert walk(style, Server(count)) == list(range(count))


@given(st.sampled_from(STYLES[:3]), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_a_page_that_comes_again_is_noticed(style: dict[str, Any], path: list[int]) -> None:
    walker = pager(style)
    told = [str(step) for step in path]
    repeated = len(set(told)) < len(told)

    def follow() -> None:
        for mark in told:
            walker.after(Page({"@next.link": mark, "meta": {"cursor": mark}}, mark, 1))

    if not repeated:
        follow()
    else:
        with pytest.raises(InvalidData, match="same page again"):
            follow()


@given(st.sampled_from(STYLES), st.integers(1, 10))
def test_there_is_a_last_page_whatever_the_system_says(style: dict[str, Any], max_pages: int) -> None:
    class Endless(Server):
        def answer(self, style: dict[str, Any], asked: Next) -> tuple[list[int], Page]:
            self.asked += 1
            mark = f"p{self.asked}"
            data = {"@next.link": mark, "meta": {"cursor": mark}, "pages": 10**9, "total": 10**9}
            return [1], Page(data, mark, 1)

    server = Endless(0)
    with pytest.raises(InvalidData, match="max_pages"):
        walk(style, server, max_pages)
    assert server.asked == max_pages


def test_an_empty_page_in_the_middle_is_no_end_where_the_system_points_on() -> None:
    for style in STYLES[:3]:
        assert pager(style).after(Page({"@next.link": "n", "meta": {"cursor": "n"}}, "n", 0)) is not None


def test_a_list_that_shrinks_while_it_is_read_is_an_error() -> None:
    walker = pager(STYLES[6])
    walker.after(Page({"total": 9}, None, 3))
    with pytest.raises(InvalidData, match="9 records and delivers 3"):
        walker.after(Page({"total": 9}, None, 0))


@pytest.mark.parametrize("data", [{}, {"total": None}, {"total": "many"}, {"total": -1}, {"total": {}}])
def test_a_total_that_is_no_count_is_an_error(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidData, match="no count at total"):
        pager(STYLES[6]).after(Page(data, None, 3))


@pytest.mark.parametrize("mark", [{"a": 1}, [{}], True])
def test_a_mark_of_another_kind_is_an_error(mark: Any) -> None:
    for style in STYLES[1:3]:
        with pytest.raises(InvalidData):
            pager(style).after(Page({"@next.link": mark, "meta": {"cursor": mark}}, None, 3))


def test_without_a_style_there_is_one_page() -> None:
    assert Pager(None, MAX_PAGES).after(Page([], None, 3)) is None
