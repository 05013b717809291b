"""What the answer to a successful PUSH says about each record. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.contract import PushResult, PushStatus
from adapters.datasource.rest.bodies import Ready
from adapters.datasource.rest.operations import AnswerSpec, PushSpec
from adapters.datasource.rest.places import at, given_at, shown
from adapters.datasource.rest.scrubbing import plain_text
from adapters.datasource.rest.transport import Answer


class NoResult(Exception):
    """The answer does not tell what became of a record; the text goes on "was answered, but ..."."""


def results(spec: PushSpec, records: Sequence[Ready], answer: Answer, data: Any) -> list[PushResult]:
    """One result per record, in order; reasons are as the system gave them. Raises `NoResult`."""
    if spec.answer.results is None:
        return [_result(spec.answer, record, answer, data) for record in records]
    items = at(data, spec.answer.results)
    if not isinstance(items, list):
        raise NoResult(f"there is no array at {shown(spec.answer.results)}")
    if len(items) != len(records):
        raise NoResult(f"it has {len(items)} results for {len(records)} records")
    if spec.answer.key is not None:
        items = _ordered(spec.answer.key, records, items)
    return [_result(spec.answer, record, answer, item) for record, item in zip(records, items, strict=True)]


def _ordered(place: tuple[str, ...], records: Sequence[Ready], items: Sequence[Any]) -> list[Any]:
    """The results in the order of the records. There are as many of them, so none can come twice."""
    by_key: Mapping[Any, Any] = {plain_text(at(item, place)): item for item in items}
    missing = sum(record.sent_key not in by_key for record in records)
    if missing:
        raise NoResult(f"{missing} of {len(records)} records have no result with their key")
    return [by_key[record.sent_key] for record in records]


def _result(spec: AnswerSpec, record: Ready, answer: Answer, item: Any) -> PushResult:
    error = given_at(item, spec.error) if spec.error is not None else None
    if error is not None and error is not False:
        return PushResult(record.key, PushStatus.REJECTED, reason=plain_text(error))
    external_id = plain_text(at(item, spec.id)) if spec.id is not None else ""
    if spec.id is not None and not external_id:
        raise NoResult(f"there is no id at {shown(spec.id)}")
    status = PushStatus.PRESENT if _was_present(spec, answer, item) else PushStatus.WRITTEN
    return PushResult(record.key, status, external_id)


def _was_present(spec: AnswerSpec, answer: Answer, item: Any) -> bool:
    sign = spec.present
    if sign is None:
        return False
    if sign.status is not None:
        return answer.status == sign.status
    if sign.header is not None:
        return answer.headers.get(sign.header.lower(), "").lower() not in ("", "false", "0")
    assert sign.field is not None
    return plain_text(given_at(item, sign.field)) == "true" or given_at(item, sign.field) is True
