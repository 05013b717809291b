"""Teams: a Workflows webhook that posts an Adaptive Card to a channel.

Body and limits: learn.microsoft.com, Teams platform, "Create and send messages with incoming webhooks":
`{"type": "message", "attachments": [...]}` with one Adaptive Card, under 28 KB, not more than a few messages
a second. The flow answers 202 when it was started, not when the message has been posted.
"""

import json
from collections.abc import Iterator
from typing import Any

from adapters.comms.letter import Letter, plain
from adapters.comms.pace import Pace
from adapters.comms.posting import Outgoing, Poster
from kernel.secrets import CredentialProvider

LARGEST = 28 * 1024 - 1024
"""Bytes of a message: below Teams' limit, which counts its own wrapping too."""
_PAUSE = 1.1
_MOST_LINES = 20
# Ever shorter texts, until the card fits.
_LENGTHS = (1000, 400, 200, 100, 50)


class TeamsChannel:
    """Posts to the channel behind the webhook whose address is the vault's secret `secret`."""

    personal = False

    def __init__(self, credentials: CredentialProvider, secret: str) -> None:
        self._credentials, self._secret = credentials, secret
        self._poster, self._pace = Poster("the Teams webhook"), Pace(_PAUSE)

    def send(self, letter: Letter, address: str | None) -> None:
        """Post the card; see `Channel.send`."""
        url = self._credentials.secret(self._secret).reveal()
        self._pace.wait()
        self._poster.post(Outgoing(url, body(letter)))


def body(letter: Letter) -> bytes:
    """The webhook's request body, always under the limit: texts are cut, the link never is."""
    for longest in _LENGTHS:
        data = json.dumps(_message(letter, longest), ensure_ascii=False).encode()
        if len(data) <= LARGEST:
            break
    return data


def _message(letter: Letter, longest: int) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": list(_blocks(letter, longest)),
        "actions": [{"type": "Action.OpenUrl", "title": plain(letter.action, 50), "url": letter.link}],
        "msteams": {"width": "Full"},
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


def _blocks(letter: Letter, longest: int) -> Iterator[dict[str, Any]]:
    """Text runs only: text blocks read Markdown, so that a value could make a link of its own."""
    yield _runs(_run(letter.headline, longest, size="Large", weight="Bolder"))
    yield _runs(_run(letter.intro, longest))
    if letter.reason:
        yield _runs(_run("Why: ", longest, weight="Bolder"), _run(letter.reason, longest))
    for label, value in letter.lines[:_MOST_LINES]:
        yield _runs(_run(f"{plain(label, longest)}: ", longest + 2, weight="Bolder"), _run(value, longest))
    if letter.note:
        yield _runs(_run(letter.note, longest, isSubtle=True, size="Small"))


def _runs(*inlines: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [one for one in inlines if one["text"]]}


def _run(text: str, longest: int, **style: Any) -> dict[str, Any]:
    ends = " " if text.endswith(" ") else ""
    return {"type": "TextRun", "text": plain(text, longest) + ends, **style}
