"""The ERP's resources, one for each way in which a system can or cannot recognise a second write.

`keyed` replays what it has under an idempotency key; `upserts` are written to the address that holds our id;
`searchable` can only be searched; `sink` takes everything and tells nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.erp_server.ledger import Ledger, Line

KEY_FIELD = "posting_key"


@dataclass(frozen=True)
class Reply:
    """Status, body (`None`: empty) and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None


class Refusal(Exception):
    """The ERP does not accept a record."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Stored:
    """A record that the ERP has, and whether it had it before."""

    line: Line
    present: bool

    def told(self) -> dict[str, Any]:
        """The record as the ERP tells it."""
        return {**self.line.values, KEY_FIELD: self.line.key, "id": self.line.id, "present": self.present}


def keyed(ledger: Ledger, key: str, values: dict[str, Any]) -> Stored:
    """Write once under a key; refuse other content under it."""
    if not key:
        raise Refusal("An idempotency key is required", 400)
    _check(values)
    known = ledger.under("keyed", key)
    if known is None:
        return Stored(ledger.append("keyed", key, values), present=False)
    different = sorted(name for name in known.values | values if known.values.get(name) != values.get(name))
    if different:
        raise Refusal(f"The key was used before with other values in {', '.join(different)}")
    return Stored(known, present=True)


def upserts(ledger: Ledger, key: str, values: dict[str, Any]) -> Stored:
    """Write to the address; the same content again changes nothing, other content overwrites."""
    _check(values)
    known = ledger.under("upserts", key)
    if known is not None and known.values == values:
        return Stored(known, present=True)
    return Stored(ledger.append("upserts", key, values), present=False)


def searchable(ledger: Ledger, key: str, values: dict[str, Any]) -> Stored:
    """Write whatever comes."""
    _check(values)
    return Stored(ledger.append("searchable", key, values), present=False)


def sink(ledger: Ledger, key: str, values: dict[str, Any]) -> Stored:
    """Write whatever comes, checking nothing."""
    return Stored(ledger.append("sink", key, values), present=False)


type Write = Callable[[Ledger, str, dict[str, Any]], Stored]

WRITES: Mapping[str, Write] = {
    "keyed": keyed,
    "upserts": upserts,
    "searchable": searchable,
    "sink": sink,
}


def write_one(ledger: Ledger, resource: str, key: str, values: dict[str, Any]) -> Reply:
    """One record. The key is what the address or a header gave, or a field of the record."""
    values = dict(values)
    in_record = values.pop(KEY_FIELD, "")
    try:
        stored = WRITES[resource](ledger, key or in_record, values)
    except Refusal as exc:
        return refused(exc.status, str(exc))
    if resource == "sink":
        return Reply(202)
    headers = {"Idempotent-Replayed": "true"} if stored.present else {}
    return Reply(200 if stored.present else 201, stored.told(), headers)


def write_batch(ledger: Ledger, resource: str, records: list[dict[str, Any]]) -> Reply:
    """Each record by itself: some may be refused."""
    results = []
    for record in records:
        values = dict(record)
        key = values.pop(KEY_FIELD, "")
        try:
            results.append(WRITES[resource](ledger, key, values).told())
        except Refusal as exc:
            results.append({KEY_FIELD: key, "error": {"message": str(exc)}})
    return Reply(207, {"results": results})


def write_strictly(ledger: Ledger, resource: str, records: list[dict[str, Any]]) -> Reply:
    """All records or, when one of them is wrong, none."""
    try:
        for record in records:
            _check(record)
    except Refusal as exc:
        return refused(exc.status, str(exc))
    return write_batch(ledger, resource, records)


def refused(status: int, message: str) -> Reply:
    """An answer that says no."""
    return Reply(status, {"error": {"message": message, "trace": "internal-canary-7731"}})


def _check(values: Mapping[str, Any]) -> None:
    """The ERP's one rule: numbers are not negative."""
    for name, value in values.items():
        if isinstance(value, str | int) and str(value).startswith("-"):
            raise Refusal(f"The {name} {value} is negative")
