"""Turns letters into text and HTML mail. Imports Jinja2 late.

The HTML is what Outlook, which lays out mail with Word, and phones both show well: tables 600 pixels wide at
most, styles on the elements, no image, the button a table cell, and colours that say what dark mode does.
"""

from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from adapters.comms.letter import Letter, Lines, plain

if TYPE_CHECKING:
    from jinja2 import Environment

_MOST_LINES = 40
_LONGEST = 2000


class MailRendering:
    """The templates beside this file, loaded once."""

    def text(self, letter: Letter) -> str:
        """The letter as plain text."""
        return self._environment.get_template("mail.txt").render(letter=_tidied(letter))

    def html(self, letter: Letter) -> str:
        """The letter as an HTML page; every value in it is escaped."""
        return self._environment.get_template("mail.html").render(letter=_tidied(letter))

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import DictLoader, Environment, StrictUndefined, select_autoescape

        folder = files("adapters.comms") / "templates"
        sources = {name: (folder / name).read_text("utf-8") for name in ("mail.txt", "mail.html")}
        return Environment(
            loader=DictLoader(sources), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        )  # fmt: skip


def _tidied(letter: Letter) -> Letter:
    """The letter with texts of one line and bounded length each."""
    return Letter(
        letter.id,
        plain(letter.subject),
        plain(letter.headline, 200),
        plain(letter.intro, _LONGEST),
        letter.link,
        plain(letter.action, 60),
        plain(letter.reason, _LONGEST),
        _lines(letter.details),
        tuple((plain(title, 100), _lines(lines)) for title, lines in letter.sections),
        plain(letter.note, _LONGEST),
    )


def _lines(lines: Lines) -> Lines:
    return tuple((plain(label, 100), plain(value, 500)) for label, value in lines[:_MOST_LINES])
