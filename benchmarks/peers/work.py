"""The business code: what every engine has to do, without sleeping and without calling out."""

import json
from collections.abc import Mapping, Sequence

type Line = Mapping[str, str | int]
"""A record: whole numbers and texts, so that every engine stores the same."""

LINES = 20


def fetch(unit: str) -> list[Line]:
    """The records of a run: 20, as JSON 2 kB."""
    return [record(unit, number) for number in range(LINES)]


def record(unit: str, number: int) -> Line:
    """One record as the source has it."""
    return {
        "unit": unit,
        "line": number,
        "project": f"P-{number % 5:04}",
        "day": f"2026-03-{number % 28 + 1:02}",
        "minutes": 15 + number % 480,
        "rate": 6000 + number % 40,
    }


def transform(lines: Sequence[Line]) -> list[Line]:
    """The records priced, in cents: as JSON some 60 bytes each."""
    return [
        {
            "line": line["line"],
            "project": line["project"],
            "day": line["day"],
            "amount": amount(int(line["minutes"]), int(line["rate"])),
        }
        for line in lines
    ]


def amount(minutes: int, rate: int) -> int:
    """Whole cents for so many minutes at so many cents an hour, half up."""
    return (minutes * rate + 30) // 60


def payload(priced: Sequence[Line]) -> str:
    """What is pushed: the priced records in one row."""
    return json.dumps(priced, separators=(",", ":"))


def pushed_by_run(unit: str) -> str:
    """The row that a run of this unit leaves in the sink."""
    return payload(transform(fetch(unit)))


def pushed_by_chunk(unit: str, number: int) -> str:
    """The row that chunk `number` of this unit leaves in the sink."""
    return payload(transform([record(unit, number)]))


def chunk_unit(group: str, number: int) -> str:
    """The name of one chunk of a group."""
    return f"{group}-{number:05}"
