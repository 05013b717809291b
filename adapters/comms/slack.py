"""Slack: an incoming webhook with blocks.

Body and limits: docs.slack.dev, "Sending messages using incoming webhooks" and "Block Kit": a header has at
most 150 characters, a section's text 3000, each of its at most 10 fields 2000, a message 50 blocks, a
button's text 75 and its address 3000; about one message a second. Success is status 200 with the text `ok`,
errors are plain words.
"""

import json
from collections.abc import Iterator
from itertools import batched
from typing import Any

from adapters.comms.letter import Letter, plain
from adapters.comms.pace import Pace
from adapters.comms.posting import Outgoing, Poster
from kernel.secrets import CredentialProvider

_PAUSE = 1.1
_HEADER, _SECTION, _FIELD, _FIELDS, _BUTTON = 150, 3000, 2000, 10, 75
_MOST_LINES = 30


class SlackChannel:
    """Posts to the channel behind the webhook whose address is the vault's secret `secret`."""

    personal = False

    def __init__(self, credentials: CredentialProvider, secret: str) -> None:
        self._credentials, self._secret = credentials, secret
        self._poster, self._pace = Poster("the Slack webhook"), Pace(_PAUSE)

    def send(self, letter: Letter, address: str | None) -> None:
        """Post the message; see `Channel.send`."""
        url = self._credentials.secret(self._secret).reveal()
        self._pace.wait()
        self._poster.post(Outgoing(url, body(letter), accepts=frozenset({200})))


def body(letter: Letter) -> bytes:
    """The webhook's request body. Only plain text objects: values cannot mention people or make links."""
    fallback = plain(letter.subject, _SECTION).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return json.dumps({"text": fallback, "blocks": list(_blocks(letter))}, ensure_ascii=False).encode()


def _blocks(letter: Letter) -> Iterator[dict[str, Any]]:
    yield {"type": "header", "text": _text(letter.headline, _HEADER)}
    yield {"type": "section", "text": _text(letter.intro, _SECTION)}
    if letter.reason:
        yield {"type": "section", "text": _text(f"Why: {letter.reason}", _SECTION)}
    lines = letter.lines[:_MOST_LINES]
    for some in batched(lines, _FIELDS, strict=False):
        yield {"type": "section", "fields": [_text(f"{label}: {value}", _FIELD) for label, value in some]}
    button = {"type": "button", "text": _text(letter.action, _BUTTON), "url": letter.link, "style": "primary"}
    yield {"type": "actions", "elements": [button]}
    if letter.note:
        yield {"type": "context", "elements": [_text(letter.note, _SECTION)]}


def _text(text: str, longest: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": plain(text, longest) or "-", "emoji": False}
