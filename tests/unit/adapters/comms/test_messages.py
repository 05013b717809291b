"""Messages: whatever the content, one link, no markup of its own, no other header, within the size limits."""

import json
import re
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from hypothesis import given, settings

from adapters.comms import slack, teams
from adapters.comms.letter import Letter, plain, subject_line
from adapters.comms.mail import Mail, Sender
from adapters.comms.mail_rendering import MailRendering
from adapters.comms.smtp import SmtpMail, SmtpServer
from kernel.clock import utc_now
from tests.support.adapters import Vault
from tests.support.letters import LETTER, LINK, NASTY, letters, texts

RENDERING = MailRendering()
_TAGS = frozenset(
    {"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "h1", "h2", "p", "b", "a"}
)


class Elements(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every element."""
        self.found.append((tag, dict(attrs)))


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """All elements of a page."""
    parser = Elements()
    parser.feed(html)
    return parser.found


@given(letters())
@settings(max_examples=30)
def test_html_mail_has_our_elements_and_one_link(letter: Letter) -> None:
    found = elements(RENDERING.html(letter))
    assert {tag for tag, _ in found} <= _TAGS
    assert [attributes["href"] for tag, attributes in found if tag == "a"] == [LINK]
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
    assert not [name for _, attributes in found for name in attributes if name in ("src", "background")]


@given(letters())
@settings(max_examples=30)
def test_text_mail_says_the_link_once_and_is_bounded(letter: Letter) -> None:
    text = RENDERING.text(letter)
    assert text.count(LINK) == 1
    assert len(text) < 120_000
    assert not re.search(r"[^\n\S ]|\x00", text)


def test_html_mail_is_what_outlook_and_dark_mode_need() -> None:
    html = RENDERING.html(LETTER)
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "prefers-color-scheme: dark" in html
    assert "<!--[if mso]>" in html
    found = elements(html)
    assert {dict(attributes).get("role") for tag, attributes in found if tag == "table"} == {"presentation"}
    assert "max-width:600px" in html
    assert "url(" not in html


def smtp() -> SmtpMail:
    """A channel that is never connected."""
    server = SmtpServer("127.0.0.1", 25, "none")
    return SmtpMail(server, Sender("sluice@example.com"), Vault({}), utc_now)


@given(texts())
def test_no_subject_can_begin_another_header(text: str) -> None:
    subject = subject_line(text)
    assert len(subject) <= 180
    mail = Mail(uuid4(), "ann@example.com", subject, "Text", "<p>HTML</p>")
    message = message_from_bytes(smtp()._message(mail).as_bytes(), policy=default)
    assert message.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress",
        "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["Message-ID"] == f"<{mail.id}@example.com>"


@given(texts())
def test_plain_text_is_one_line_that_shows_what_it_is(text: str) -> None:
    line = plain(text, 100)
    assert len(line) <= 100
    assert line == plain(line, 100)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)


@given(letters())
@settings(max_examples=30)
def test_a_teams_card_is_always_below_the_limit_and_reads_no_markdown(letter: Letter) -> None:
    data = teams.body(letter)
    assert len(data) <= teams.LARGEST
    card = json.loads(data)["attachments"][0]["content"]
    assert [action["url"] for action in card["actions"]] == [LINK]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} <= {"TextRun"}


@pytest.mark.parametrize("character", ["x", '"', "漢", "🏗"])
def test_the_largest_card_fits_and_keeps_its_link(character: str) -> None:
    long = character * 9_000
    lines = tuple((long, long) for _ in range(90))
    letter = Letter(uuid4(), long, long, long, LINK, long, long, lines, ((long, lines),), long)
    data = teams.body(letter)
    assert len(data) <= teams.LARGEST
    assert LINK in data.decode()
    assert data.decode().count(character) > 500


@given(letters())
@settings(max_examples=30)
def test_a_slack_message_is_within_its_limits_and_mentions_nobody(letter: Letter) -> None:
    message = json.loads(slack.body(letter))
    assert "<" not in message["text"]
    assert ">" not in message["text"]
    assert len(message["blocks"]) <= 50
    longest = {"header": 150, "section": 3000, "context": 3000, "actions": 75}
    for block in message["blocks"]:
        fields = block.get("fields", [])
        assert len(fields) <= 10
        assert all(0 < len(field["text"]) <= 2000 for field in fields)
        texts = [block["text"]] if "text" in block else [one.get("text") for one in block.get("elements", [])]
        for text in texts:
            text = text["text"] if isinstance(text, dict) else text
            assert 0 < len(text) <= longest[block["type"]]
    assert '"mrkdwn"' not in json.dumps(message)


def test_values_stand_in_all_of_them_as_they_are() -> None:
    letter = Letter(uuid4(), NASTY[7], NASTY[7], "Intro", LINK, details=(("Worker & <site>", NASTY[7]),))
    assert "Worker &amp; &lt;site&gt;" in RENDERING.html(letter)
    assert NASTY[7] in RENDERING.text(letter)
    assert NASTY[7] in teams.body(letter).decode()
    assert NASTY[7] in slack.body(letter).decode()
