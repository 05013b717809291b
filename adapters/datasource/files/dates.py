"""Calendar dates in files: ISO, or a stated order of day, month and year."""

import re
from dataclasses import dataclass
from datetime import date

from kernel.timestamps import Unfit

_ISO = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TOKENS = {
    "dd": r"(?P<day>\d\d?)",
    "mm": r"(?P<month>\d\d?)",
    "yyyy": r"(?P<year>\d{4})",
}


@dataclass(frozen=True)
class DateFormat:
    """A date format of `dd`, `mm`, `yyyy`, each once, and separators. Days and months may be one digit."""

    text: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "DateFormat":
        """The format that `text` describes, such as `dd/mm/yyyy`. Raises `ValueError`."""
        parts = re.split(r"(dd|mm|yyyy)", text)
        tokens, separators = parts[1::2], parts[2:-1:2]
        outer_text = parts[0] + parts[-1]
        if (
            sorted(tokens) != sorted(_TOKENS)
            or outer_text
            or not all(re.fullmatch(r"[-/. ]", s) for s in separators)
        ):
            raise ValueError(
                "a date format has dd, mm and yyyy, each once, with - / . or a space between: dd/mm/yyyy."
            )
        return cls(text, re.compile("".join(_TOKENS.get(part, re.escape(part)) for part in parts), re.ASCII))

    def read(self, text: str) -> date:
        """The date that `text` names in this format. Raises `Unfit`."""
        match = self.pattern.fullmatch(text)
        if match is None:
            raise Unfit(f"is not a date like {self.text}")
        try:
            return date(int(match["year"]), int(match["month"]), int(match["day"]))
        except ValueError as exc:
            raise Unfit(f"is not a date of the calendar when read as {self.text}") from exc


def iso_date(text: str) -> date:
    """The date that an ISO 8601 text such as `2026-03-31` names. Raises `Unfit`."""
    if not _ISO.fullmatch(text):
        raise Unfit(
            "is not an ISO date like 2026-03-31", "Say how it is written with format, such as dd/mm/yyyy."
        )
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise Unfit("is not a date of the calendar") from exc
