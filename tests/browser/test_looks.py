"""Every kind of page as it looks: nothing out of reach or out of sight, and pictures for people to judge."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from tests.browser.conftest import DESK, PHONE, PICTURES
from tests.browser.deployed import Deployed
from tests.support.eventually import eventually
from tests.support.world import SMALL_LOG, WORK_LOG

LINES = 40
UNKNOWN = "01900000-0000-7000-8000-000000000001"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_CHECK = """
rules => axe.run(document, {runOnly: rules}).then(found => found.violations.map(
  one => [one.id, one.nodes.map(node => node.target.join(" ") + ": " + node.failureSummary)]
))
"""


@pytest.fixture(scope="module")
def asked(site: Deployed) -> Mapping[str, str]:
    """Requests in each state that looks different."""
    log = b"\n".join(WORK_LOG.read_bytes().split(b"\n")[:LINES]) + b"\n"
    made = {"open": site.ask(log, quorum=2), "approved": site.ask(SMALL_LOG), "rejected": site.ask(SMALL_LOG)}
    site.decide(made["approved"], "carla", "approve")
    site.decide(made["rejected"], "conrad", "reject", "Week 47 again")
    site.comment(made["open"], "conrad", "Where does the overtime come from?")
    site.comment(made["open"], "ada", "From the move to the new warehouse.\nSee the plan of last month.")
    return made


@pytest.fixture(params=[(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A large light screen, or a small dark one."""
    width, scheme = request.param
    made = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield made
    made.close()


def addresses(site: Deployed, asked: Mapping[str, str]) -> Mapping[str, tuple[str | None, str]]:
    """Each kind of page: who looks, and at what."""
    return MappingProxyType(
        {
            "sign-in": (None, asked["open"]),
            "request": ("carla", asked["open"]),
            "request-searched": ("carla", f"{asked['open']}?q=release"),
            "approved": ("carla", asked["approved"]),
            "rejected": ("carla", asked["rejected"]),
            "list": ("carla", f"{site.url}/approvals?view=waiting"),
            "list-decided": ("carla", f"{site.url}/approvals?view=decided"),
            "unknown": ("carla", f"{site.url}/approvals/{UNKNOWN}"),
            "request-of-mine": ("ada", asked["open"]),
            "request-of-others": ("fred", asked["open"]),
            "list-empty": ("fred", f"{site.url}/approvals"),
        }
    )


def test_every_page_can_be_used_by_everybody(
    site: Deployed, context: BrowserContext, asked: Mapping[str, str], axe: str
) -> None:
    found = {}
    page, before = context.new_page(), None
    for name, (person, address) in addresses(site, asked).items():
        if person is not None and person != before:
            sign_in(page, site, person)
        page.goto(address)
        before = person
        found[name] = faults(page, axe)
        picture(page, name)
    sign_in(page, site, "carla")
    page.goto(asked["open"])
    page.get_by_role("button", name="Reject…").click()
    found["refused"] = faults(page, axe)
    page.get_by_label("Reason").first.fill("Not before the month is closed.")
    page.get_by_role("button", name="Reject…").click()
    found["confirmation"] = faults(page, axe)
    picture(page, "confirmation")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_pages_can_be_printed(site: Deployed, browser: Browser, asked: Mapping[str, str]) -> None:
    context = browser.new_context(viewport={"width": DESK, "height": 800})
    page = context.new_page()
    sign_in(page, site, "carla")
    page.goto(asked["open"])
    page.emulate_media(media="print")
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("heading", name="Evidence").is_visible()
    picture(page, "printed")
    context.close()


def sign_in(page: Page, site: Deployed, person: str) -> None:
    """Look as somebody else from here on."""
    page.goto(f"{site.url}/sign-in")
    page.locator(f"button[value={person}]").click()
    page.get_by_role("heading", name="Approvals").wait_for()


def faults(page: Page, axe: str) -> list[Any]:
    """What axe-core finds, and whether anything is wider than the screen."""
    page.evaluate(axe)
    found: list[Any] = page.evaluate(_CHECK, list(RULES))
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("it is wider than the screen")
    return found


def picture(page: Page, name: str) -> None:
    """A picture of the whole page, kept for people to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    width = page.viewport_size["width"] if page.viewport_size else 0
    eventually(lambda: taken(page, PICTURES / f"{name}-{width}.png"), what="Chromium takes a picture")


def taken(page: Page, path: Path) -> bool:
    """Whether there is a picture: Chromium now and then says that it cannot, and can a moment later."""
    try:
        page.screenshot(path=path, full_page=True)
    except Error:
        return False
    return True
