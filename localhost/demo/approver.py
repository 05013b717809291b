"""The demo's approver: gets a mail, follows its link, signs in, and decides on the page."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2

from kernel.errors import Unavailable
from localhost.demo.browser import Browser, Shown
from localhost.demo.client import Api

NAME, ADDRESS = "carla", "carla@example.com"
_LINK = re.compile(r"https?://\S+/approvals/([0-9a-f-]{36})\?t=[\w.-]+")
_MAIL_SECONDS, _POLL_SECONDS = 60.0, 0.3
_SCANNERS = 30

type Say = Callable[[str], None]


class Approver:
    """Carla, a finance controller, at her browser."""

    def __init__(self, base_url: str, inbox_url: str, api: Api, say: Say) -> None:
        self._browser = Browser(base_url)
        self._base_url, self._inbox_url = base_url, inbox_url
        self._api = api
        self._say = say
        self.decided: list[dict[str, str]] = []

    def decide(self, run_id: str, *, deny: bool) -> None:
        """Decide all that the run asks. Raises `Unavailable` when no mail comes."""
        for approval in self._api.waiting(run_id):
            mail = self._mail(approval["id"])
            self._say(f"Mail to {ADDRESS}: {mail['subject'].strip()}")
            self._say(f"  {self._inbox_url}mails/{mail['id']}")
            self._follow(approval["id"], _link(mail["text"], approval["id"]), deny=deny)

    def close(self) -> None:
        """Close the browser."""
        self._browser.close()

    def _follow(self, approval_id: str, link: str, *, deny: bool) -> None:
        before = self._api.standing(approval_id)
        self._scan(link)
        page = self._sign_in(self._browser.open(link))
        unchanged = self._api.standing(approval_id) == before
        word = "changed nothing" if unchanged else "CHANGED SOMETHING"
        self._say(f"Opening the link {_SCANNERS + 1} times, as mail scanners and people do, {word}.")
        decision = {"decision": "reject", "reason": "Not this week"} if deny else {"decision": "approve"}
        self._send(page, decision)
        after = self._api.standing(approval_id)
        self._say(f"{NAME.title()} has decided on the page: {after['state']}")
        known = {"id": approval_id, "run_id": after["run_id"], "state": after["state"]}
        self.decided.append({**known, "links_changed_nothing": str(unchanged).lower()})

    def _scan(self, link: str) -> None:
        """What programs do that look at mails before people see them."""
        scanner = Browser(self._base_url)
        try:
            for number in range(_SCANNERS):
                scanner.open(link, ("GET", "HEAD", "OPTIONS")[number % 3])
        finally:
            scanner.close()

    def _sign_in(self, page: Shown) -> Shown:
        form = page.offer("person", NAME)  # there is none for somebody who has signed in before
        return page if form is None else self._browser.send(page, form, person=NAME)

    def _send(self, page: Shown, decision: dict[str, str]) -> None:
        chosen = "decision", decision["decision"]
        confirmation = self._browser.send(page, page.form_with(*chosen), **decision)
        self._browser.send(confirmation, confirmation.form_with(*chosen), **decision)

    def _mail(self, approval_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + _MAIL_SECONDS
        while time.monotonic() < deadline:
            for mail in self._mails():
                if ADDRESS in mail["to"] and approval_id in mail["text"]:
                    return mail
            time.sleep(_POLL_SECONDS)
        raise Unavailable(
            f"No mail came to {self._inbox_url} within {_MAIL_SECONDS:.0f} s; see the host's log."
        )

    def _mails(self) -> list[dict[str, Any]]:
        listed = httpx2.get(f"{self._inbox_url}api/mails?to={ADDRESS}", timeout=10).json()["items"]
        return [
            httpx2.get(f"{self._inbox_url}api/mails/{mail['id']}", timeout=10).json() for mail in listed[:20]
        ]


def _link(text: str, approval_id: str) -> str:
    found = next((match for match in _LINK.finditer(text) if match[1] == approval_id), None)
    if found is None:
        raise Unavailable("The mail has no link to the request.")
    address = urlsplit(found[0])  # another host than the one that sent the mail may serve it now
    return f"{address.path}?{address.query}"
