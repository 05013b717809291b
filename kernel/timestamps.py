"""ISO 8601 timestamps, strictly: a real moment with a known offset from UTC, or a clear refusal."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EXAMPLE = "2026-03-31T08:00:00+02:00"
_STAMP = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?:[.,](?P<fraction>\d+))?"
    r"(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_MICROSECOND_DIGITS = 6


class Unfit(ValueError):
    """A value that its column cannot hold. Neither the text nor the hint repeats the value."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def instant(text: str, zone: ZoneInfo | None = None) -> datetime:
    """The moment that an ISO 8601 text names, in UTC, to the microsecond.

    A text without an offset is read as local time in `zone`. Raises `Unfit`.
    """
    moment, fraction = _parsed(text, zone)
    if len(fraction) > _MICROSECOND_DIGITS:
        raise Unfit(
            "is finer than a microsecond, which a timestamp cannot hold",
            "Declare the column as timestamp_text to keep all digits.",
        )
    return moment.astimezone(UTC) + timedelta(microseconds=int(fraction.ljust(_MICROSECOND_DIGITS, "0")))


def normal_text(text: str, zone: ZoneInfo | None = None) -> str:
    """An ISO 8601 text in one form, with its own offset and every significant digit of its seconds.

    `2026-03-31 08:00Z` becomes `2026-03-31T08:00:00+00:00`. Raises `Unfit`.
    """
    moment, fraction = _parsed(text, zone)
    whole = moment.isoformat()
    return f"{whole[:19]}.{fraction}{whole[19:]}" if fraction else whole


def moment_text(moment: datetime) -> str:
    """An aware datetime as `normal_text` writes it."""
    return normal_text(moment.isoformat())


def localised(naive: datetime, zone: ZoneInfo | None) -> datetime:
    """A naive local time as the one moment it means in `zone`.

    Raises `Unfit` without a zone, and for times that a change of the clocks skips or repeats.
    """
    if zone is None:
        raise Unfit(
            "has no offset from UTC, so its moment is unknown",
            "Set the parameter time_zone to the zone it was written in, for example Europe/Berlin.",
        )
    first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        _refuse_clock_change(first, zone)
    return _checked(first)


def _refuse_clock_change(moment: datetime, zone: ZoneInfo) -> None:
    there_and_back = moment.astimezone(UTC).astimezone(zone)
    happens = there_and_back.replace(tzinfo=None) == moment.replace(tzinfo=None)
    what = "happens twice" if happens else "does not exist"
    raise Unfit(
        f"{what} in {zone.key}, where the clocks change at that time",
        f"Write it with its offset from UTC, like {_EXAMPLE}.",
    )


def _parsed(text: str, zone: ZoneInfo | None) -> tuple[datetime, str]:
    """The moment in whole seconds with its own offset, and the significant digits after the second."""
    match = _STAMP.fullmatch(text)
    if match is None or (match["fraction"] and not match["second"]):
        raise Unfit("is not an ISO 8601 date and time", f"Write it like {_EXAMPLE}.")
    try:
        naive = datetime.fromisoformat(f"{match['day']}T{match['minute']}{match['second'] or ':00'}")
        moment = (
            datetime.fromisoformat(naive.isoformat() + match["offset"].upper())
            if match["offset"]
            else localised(naive, zone)
        )
    except Unfit:
        raise
    except ValueError as exc:
        raise Unfit("is not a date and time of the calendar", f"Write it like {_EXAMPLE}.") from exc
    return _checked(moment), (match["fraction"] or "").rstrip("0")


def _checked(moment: datetime) -> datetime:
    """Refuse what cannot be converted or written: the edges of the calendar and offsets with seconds."""
    offset = moment.utcoffset()
    if offset is not None and offset.seconds % 60:
        raise Unfit("lies in a time when its zone's offset was not in whole minutes")
    try:
        moment.astimezone(UTC)
    except OverflowError as exc:
        raise Unfit("lies outside the years 1 to 9999") from exc
    return moment
