"""Results per record, or the refusal to guess them."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import PushStatus
from adapters.datasource.rest.answers import NoResult, results
from adapters.datasource.rest.bodies import Ready, body
from adapters.datasource.rest.operations import PushSpec
from adapters.datasource.rest.transport import Answer

SPEC: dict[str, Any] = {
    "push": "/batches",
    "columns": {"project": "text", "day": "date", "amount": "decimal(9,2)"},
    "batch_size": 100,
    "body": "data.lines",
    "key": {"field": "meta.ref", "length": 20},
    "fields": {"amount": "totals.amount"},
    "answer": {"results": "results", "key": "ref", "id": "id", "error": "why"},
}
OK = Answer(200, "", {}, b"")


def spec(**answer: Any) -> PushSpec:
    return PushSpec.model_validate(SPEC | {"answer": SPEC["answer"] | answer})


def records(count: int) -> list[Ready]:
    return [Ready(f"key{n}", f"sent{n}", {"project": "A"}) for n in range(count)]


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_results_find_their_records_by_key_in_any_order(order: list[int], refused: set[int]) -> None:
    told = [{"ref": f"sent{n}"} | ({"why": "no"} if n in refused else {"id": n}) for n in order]
    found = results(spec(), records(8), OK, {"results": told})
    assert [result.key for result in found] == [f"key{n}" for n in range(8)]
    assert [result.status is PushStatus.REJECTED for result in found] == [n in refused for n in range(8)]
    assert [result.external_id for result in found] == ["" if n in refused else str(n) for n in range(8)]


results_data = st.lists(
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "ref": st.sampled_from(["sent0", "sent1", "other", None]),
            "id": st.none() | st.integers(),
            "why": st.none() | st.just("no"),
        },
    ),
    max_size=4,
)


@given(results_data, st.booleans())
def test_a_record_without_a_result_of_its_own_is_never_reported(told: list[Any], by_key: bool) -> None:
    try:
        found = results(spec(key="ref" if by_key else None), records(2), OK, {"results": told})
    except NoResult:
        return
    assert len(told) == 2
    for number, result in enumerate(found):
        own = next(item for item in told if item["ref"] == f"sent{number}") if by_key else told[number]
        assert (result.status is PushStatus.REJECTED) == bool(own.get("why"))
        assert own.get("why") or result.external_id == str(own["id"])


@pytest.mark.parametrize("data", [None, [], {}, {"results": None}, {"results": {}}, "text"])
def test_an_answer_without_results_is_no_success(data: Any) -> None:
    with pytest.raises(NoResult):
        results(spec(), records(1), OK, data)


@pytest.mark.parametrize(
    ("sign", "answer", "item", "present"),
    [
        ({"status": 200}, OK, {}, True),
        ({"status": 200}, Answer(201, "", {}, b""), {}, False),
        ({"header": "Idempotent-Replayed"}, Answer(200, "", {"idempotent-replayed": "true"}, b""), {}, True),
        (
            {"header": "Idempotent-Replayed"},
            Answer(200, "", {"idempotent-replayed": "false"}, b""),
            {},
            False,
        ),
        ({"header": "Idempotent-Replayed"}, OK, {}, False),
        ({"field": "seen"}, OK, {"seen": True}, True),
        ({"field": "seen"}, OK, {"seen": "true"}, True),
        ({"field": "seen"}, OK, {"seen": False}, False),
        ({"field": "seen"}, OK, {}, False),
    ],
)
def test_a_replay_is_told_from_a_new_record(
    sign: dict[str, Any], answer: Answer, item: dict[str, Any], present: bool
) -> None:
    one = spec(results=None, key=None, id=None, present=sign)
    (found,) = results(one, records(1), answer, item)
    assert found.status is (PushStatus.PRESENT if present else PushStatus.WRITTEN)


def test_bodies_are_the_same_bytes_each_time_and_put_things_where_they_go() -> None:
    whole = PushSpec.model_validate(SPEC)
    record = Ready(
        "k" * 64, whole.sent_key("k" * 64), {"project": "A", "day": date(2026, 1, 2), "amount": None}
    )
    made = body(whole, [record])
    assert made == body(whole, [record])
    assert made == (
        b'{"data":{"lines":[{"project":"A","day":"2026-01-02","totals":{"amount":null},'
        b'"meta":{"ref":"kkkkkkkkkkkkkkkkkkkk"}}]}}'
    )
