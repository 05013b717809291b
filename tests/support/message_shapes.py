"""The documented shapes of what services that deliver messages take, as JSON Schemas.

From learn.microsoft.com: Graph `user: sendMail` and `message`; Communication Services `Email - Send`
(2023-03-31); Teams "Create and send messages with incoming webhooks", adaptivecards.io schema 1.4; from
docs.slack.dev: "Incoming webhooks" and the blocks used.
"""

from collections.abc import Mapping
from typing import Any


def shape(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An object with exactly these properties."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object", "properties": properties, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


def several(items: Any, **limits: int) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items, **limits}


def text(longest: int | None = None) -> dict[str, Any]:
    """A text."""
    return {"type": "string", "minLength": 1, **({"maxLength": longest} if longest else {})}


ADDRESS = {"type": "string", "pattern": "^[^@\\s<>]+@[^@\\s<>]+$"}
URL = {"type": "string", "pattern": "^https?://[^\\s]+$", "maxLength": 3000}
BOOLEAN = {"type": "boolean"}

_RECIPIENT = shape({"emailAddress": shape({"address": ADDRESS}, {"name": text()})})
GRAPH = shape(
    {
        "message": shape(
            {
                "subject": text(),
                "body": shape({"contentType": {"enum": ["HTML", "Text"]}, "content": text()}),
                "toRecipients": several(_RECIPIENT, minItems=1, maxItems=500),
            },
            {
                "internetMessageId": {"type": "string", "pattern": "^<[^<>@\\s]+@[^<>@\\s]+>$"},
                # "Custom headers must begin with x-"; at most five of them.
                "internetMessageHeaders": several(
                    shape({"name": {"type": "string", "pattern": "^[xX]-"}, "value": text()}), maxItems=5
                ),
            },
        )
    },
    {"saveToSentItems": BOOLEAN},
)

_TO = shape({"address": ADDRESS}, {"displayName": text()})
ACS = shape(
    {
        "senderAddress": ADDRESS,
        "content": shape({"subject": text()}, {"plainText": text(), "html": text()}),
        "recipients": shape({"to": several(_TO, minItems=1)}, {"cc": several(_TO), "bcc": several(_TO)}),
    },
    {
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "attachments": several({"type": "object"}),
        "replyTo": several(_TO),
        "userEngagementTrackingDisabled": BOOLEAN,
    },
)

_RUN = shape(
    {"type": {"const": "TextRun"}, "text": {"type": "string"}},
    {
        "size": {"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
        "weight": {"enum": ["Lighter", "Default", "Bolder"]},
        "isSubtle": BOOLEAN,
    },
)
_BLOCK = shape({"type": {"const": "RichTextBlock"}, "inlines": several(_RUN)})
_OPEN_URL = shape({"type": {"const": "Action.OpenUrl"}, "url": URL}, {"title": text()})
_CARD = shape(
    {
        "$schema": {"const": "http://adaptivecards.io/schemas/adaptive-card.json"},
        "type": {"const": "AdaptiveCard"},
        "version": {"const": "1.4"},
        "body": several(_BLOCK, minItems=1),
    },
    {"actions": several(_OPEN_URL, maxItems=6), "msteams": shape({"width": {"const": "Full"}})},
)
_ATTACHMENT = shape(
    {"contentType": {"const": "application/vnd.microsoft.card.adaptive"}, "content": _CARD},
    {"contentUrl": {"type": "null"}},
)
TEAMS = shape({"type": {"const": "message"}, "attachments": several(_ATTACHMENT, minItems=1)})


def _plain(longest: int) -> dict[str, Any]:
    return shape({"type": {"const": "plain_text"}, "text": text(longest)}, {"emoji": BOOLEAN})


_BUTTON = shape(
    {"type": {"const": "button"}, "text": _plain(75), "url": URL}, {"style": {"enum": ["primary", "danger"]}}
)
_SLACK_BLOCKS = {
    "oneOf": [
        shape({"type": {"const": "header"}, "text": _plain(150)}),
        shape({"type": {"const": "section"}, "text": _plain(3000)}),
        shape({"type": {"const": "section"}, "fields": several(_plain(2000), minItems=1, maxItems=10)}),
        shape({"type": {"const": "actions"}, "elements": several(_BUTTON, minItems=1, maxItems=25)}),
        shape({"type": {"const": "context"}, "elements": several(_plain(3000), minItems=1, maxItems=10)}),
    ]
}
SLACK = shape({"text": text()}, {"blocks": several(_SLACK_BLOCKS, maxItems=50)})
