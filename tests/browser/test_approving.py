"""Approving in a real browser: on a phone and at a desk, by keyboard, without JavaScript."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import DESK, PHONE
from tests.browser.deployed import Deployed
from tests.support.eventually import eventually
from tests.support.world import SMALL_LOG

MANY_TABS = 80


@contextmanager
def opened(browser: Browser, width: int, *, scripts: bool = True) -> Iterator[Page]:
    """A page of a browser that nobody has used before."""
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def mailed_link(site: Deployed, address: str) -> str:
    """The link to a request in the mail to Carla."""

    def found() -> str | None:
        inbox = f"{site.endpoints.inbox_url}api/mails"
        for mail in httpx2.get(f"{inbox}?to=carla@example.com").json()["items"]:
            text = httpx2.get(f"{inbox}/{mail['id']}").json()["text"]
            if match := re.search(rf"{re.escape(address)}\?t=[\w-]+", text):
                return match[0]
        return None

    return eventually(found, within=30, what="the mail comes")


@pytest.mark.parametrize(
    ("width", "scripts"), [(DESK, True), (PHONE, False)], ids=["at a desk", "on a phone without JavaScript"]
)
def test_from_the_mail_to_the_ledger(site: Deployed, browser: Browser, width: int, scripts: bool) -> None:
    address = site.ask(SMALL_LOG)
    with opened(browser, width, scripts=scripts) as page:
        page.goto(mailed_link(site, address))
        page.get_by_role("button", name="Carla Controller").click()
        assert page.url.startswith(f"{address}?t=")
        page.get_by_role("button", name="Reject…").click()
        assert "Say why you reject it" in page.get_by_role("alert").inner_text()
        page.get_by_role("button", name="Approve…").click()
        assert page.get_by_role("heading", name="Approve 2 records with an amount of").is_visible()
        assert site.request(address)["state"] == "REQUESTED"
        page.get_by_role("button", name=re.compile("Approve 2 records")).click()
        assert page.url == address
        assert "Approved by Carla Controller" in page.get_by_role("status").inner_text()
        assert page.get_by_role("button", name="Approve…").count() == 0
    eventually(lambda: site.run_of(address)["state"] == "SUCCEEDED", within=30, what="the run goes on")


def test_rejecting_by_keyboard_alone(site: Deployed, browser: Browser) -> None:
    address = site.ask(SMALL_LOG)
    with opened(browser, DESK) as page:
        page.goto(address)
        press = _keys(page)
        _tab_to(page, "Skip to content")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        press("Carla Controller")
        press("Reject…")
        assert page.evaluate("document.activeElement.id") == "problem"
        _tab_to(page, "reason")
        page.keyboard.type("The wrong week")
        press("Reject…")
        press("Reject 2 records")
        assert "Rejected by Carla Controller" in page.get_by_role("status").inner_text()
        assert "The wrong week" in page.get_by_role("status").inner_text()
    assert site.request(address)["state"] == "REJECTED"


def test_asking_and_searching(site: Deployed, browser: Browser) -> None:
    address = site.ask(SMALL_LOG)
    with opened(browser, PHONE) as page:
        page.goto(address)
        page.get_by_role("button", name="Carla Controller").click()
        page.get_by_label("Ask or answer").fill("Is Bob's night shift right?")
        page.get_by_role("button", name="Send").click()
        assert "Is Bob's night shift right?" in page.get_by_role("listitem").last.inner_text()
        page.get_by_label("Find in the records").fill("bob bee")
        page.get_by_role("button", name="Find").click()
        assert "1 record with “bob bee”" in page.inner_text("main").replace("\xa0", " ")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        assert "Ann Ace" in download.value.path().read_text("utf-8-sig")
        page.get_by_role("button", name="Sign out").click()
        page.goto(address)
        assert page.get_by_role("heading", name="Sign in to see this request").is_visible()


def test_times_are_said_in_the_zone_of_the_viewer(site: Deployed, browser: Browser) -> None:
    address = site.ask(SMALL_LOG)
    context = browser.new_context(timezone_id="Australia/Sydney", locale="en-AU")
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Carla Controller").click()
    time = page.locator(".deadline time")
    assert "(Australia/Sydney)" in time.inner_text()
    assert (time.get_attribute("title") or "").endswith(" UTC")
    context.close()


def _keys(page: Page) -> Callable[[str], None]:
    """Presses what leads to another page, found with the tab key."""

    def press(name: str) -> None:
        _tab_to(page, name)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    return press


def _tab_to(page: Page, name: str) -> None:
    """Move the focus to what has this text or id, as one sees where it is."""
    for _ in range(MANY_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const one = document.activeElement;"
            " return [one.id, one.innerText || '', getComputedStyle(one).outlineStyle]; }"
        )
        if focused[0] == name or focused[1].replace("\xa0", " ").strip().startswith(name):
            assert focused[2] != "none", "nobody sees where the focus is"
            return
    raise AssertionError(f"The tab key does not lead to {name!r}.")
