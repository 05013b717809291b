"""Chunks as people look at them: lists by state and business key, and one chunk with all of it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.ids import new_id
from store.runs import RunRow
from tests.integration.api.test_api import call
from tests.integration.chunks.desk import definition, set_up
from tests.integration.chunks.test_progress import dispatching
from tests.support.chunk_rows import Made, add_chunks
from tests.support.world import World
from workflows.states import TaskState

ORDERS = [("A-1", "10.00"), ("A-2", "20.00"), ("B-1", "5000000"), ("B-2", "30.00")]
INNER = """
        - key: checked
          transform: {sql: "SELECT number, amount, customer AS worker FROM chunk"}
          emits: small_order
          rejects: dead_letter
        - key: posted
          push: {connector: desk, operation: post, records: checked, key: [number]}
"""


def posted(world: World) -> RunRow:
    """A run that failed because the desk refused one of four orders."""
    set_up(world, ORDERS)
    world.publish(definition())
    run = world.finish(world.start("post-orders"))
    assert run.state == "FAILED"
    return run


def chunks(world: World, run: RunRow, **query: str) -> Any:
    """A page of a run's chunks."""
    reply = call(world, "runs_chunks", id=str(run.id), query=query)
    assert reply.status == 200, reply.body
    return reply.body


def keys(page: Any) -> list[str]:
    return [item["key"]["number"] for item in page["items"]]


def test_chunks_are_listed_in_the_order_of_their_records(world: World) -> None:
    page = chunks(world, posted(world))
    assert [(item["number"], item["key"], item["state"]) for item in page["items"]] == [
        (0, {"number": "A-1"}, "SUCCEEDED"), (1, {"number": "A-2"}, "SUCCEEDED"),
        (2, {"number": "B-1"}, "FAILED"), (3, {"number": "B-2"}, "SUCCEEDED"),
    ]  # fmt: skip
    assert {state: count for state, count in page["counts"].items() if count} == {"SUCCEEDED": 3, "FAILED": 1}
    assert page["next"] is None
    failure = page["items"][2]["failure"]
    assert (failure["step"], failure["code"]) == ("posted", "invalid_data")


def test_chunks_can_be_narrowed(world: World) -> None:
    run = posted(world)
    assert keys(chunks(world, run, state="failed")) == ["B-1"]
    assert keys(chunks(world, run, key="b-")) == ["B-1", "B-2"]
    assert keys(chunks(world, run, key="B-2", step="each", state="SUCCEEDED")) == ["B-2"]
    assert keys(chunks(world, run, key="B-2", state="FAILED")) == []
    assert keys(chunks(world, run, key="number")) == [], "the name of a column is no value"
    assert keys(chunks(world, run, key="%")) == [], "nothing stands for anything else"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"state": "DONE"}, "no state"),
        ({"step": "nope"}, "Its dispatches: 'each'"),
        ({"cursor": "?"}, "not one of this list"),
        ({"cursor": "b3RoZXJ8MQ=="}, "not one of this list"),
        ({"key": "a b c d e f g h i j k"}, "at most 10"),
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, query: dict[str, str], said: str) -> None:
    reply = call(world, "runs_chunks", id=str(dispatching(world).id), query=query)
    assert (reply.status, said in reply.body["detail"]) == (400, True), reply.body


def test_a_run_or_chunk_that_is_not_there_is_404(world: World) -> None:
    assert call(world, "runs_chunks", id=str(new_id())).status == 404
    assert call(world, "chunks_get", id=str(new_id())).status == 404
    world.publish()
    assert chunks(world, world.start(file="x"))["items"] == []


TWO = """
workflow: two-dispatches
steps:
  - key: later_in_the_alphabet
    dispatch: {over: {fetch: {connector: desk, operation: orders}}, key: [number], steps: [
      {key: first, transform: {sql: SELECT * FROM chunk}}]}
  - key: earlier
    dispatch: {over: {fetch: {connector: desk, operation: orders}}, key: [number], steps: [
      {key: second, transform: {sql: SELECT * FROM chunk}}]}
"""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.tuples(*[st.lists(st.sampled_from(["PENDING", "FAILED"]), max_size=8)] * 2),
    limit=st.integers(1, 7),
    state=st.sampled_from([None, "FAILED"]),
)
def test_pages_together_are_the_whole_list(
    world: World, numbers: tuple[list[str], list[str]], limit: int, state: str | None
) -> None:
    if not world.sql("SELECT 1 FROM sluice.workflow"):
        set_up(world, [])
        world.publish(TWO)
    run = world.start("two-dispatches")
    expected = []
    for step, states in zip(("later_in_the_alphabet", "earlier"), numbers, strict=True):
        add_chunks(world, run, [Made(TaskState(one)) for one in states], step)
        expected += [(step, at) for at, one in enumerate(states) if state in (None, one)]
    query, found = {"limit": str(limit), **({"state": state} if state else {})}, []
    page = chunks(world, run, **query)
    pages = [page]
    while page["next"] is not None:
        page = chunks(world, run, **query, cursor=page["next"])
        pages.append(page)
    for page in pages:
        found += [(item["step"], item["number"]) for item in page["items"]]
    assert found == expected
    assert [len(page["items"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [page["counts"] is not None for page in pages] == [True] + [False] * (len(pages) - 1)


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6),
    st.integers(-99, 99), st.booleans(), st.none(),
)  # fmt: skip


def reads(value: Any) -> str:
    """A value of a key as the database reads it as text."""
    return value if isinstance(value, str) else json.dumps(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=st.dictionaries(st.sampled_from(["a", "bb"]), VALUES, min_size=1), data=st.data())
def test_a_chunk_is_found_by_any_part_of_its_key(
    world: World, shown: dict[str, Any], data: st.DataObject
) -> None:
    run = dispatching(world)
    add_chunks(world, run, [Made(shown=shown), Made(shown={"a": "unlike"})])
    words = [word for value in shown.values() if value is not None for word in reads(value).split()]
    if words:
        word = data.draw(st.sampled_from(words))
        begin = data.draw(st.integers(0, len(word) - 1))
        part = word[begin : data.draw(st.integers(begin + 1, len(word)))]
        found = chunks(world, run, key=part)["items"]
        assert shown in [item["key"] for item in found], part
    assert chunks(world, run, key="unlikely")["items"] == []


def test_sensitive_keys_are_not_shown_and_cannot_be_found(world: World) -> None:
    set_up(world, ORDERS)
    text = definition(steps="[{key: kept, transform: {sql: SELECT number FROM chunk}}]")
    world.publish(text.replace("key: [number]", "key: [secret, number]"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    first = chunks(world, run)["items"][0]
    assert first["key"] == {"secret": "[redacted]", "number": "A-1"}
    assert chunks(world, run, key="canary")["items"] == []
    assert len(chunks(world, run, key="redacted A-1")["items"]) == 1


def test_a_chunk_tells_everything(world: World) -> None:
    run = posted(world)
    good, _, refused, _ = chunks(world, run)["items"]
    shown = call(world, "chunks_get", id=good["id"]).body
    assert {name: shown[name] for name in good} == good
    assert [(task["step"], task["verb"], task["state"]) for task in shown["tasks"]] == [
        ("priced", "transform", "SUCCEEDED"), ("posted", "push", "SUCCEEDED"),
    ]  # fmt: skip
    (posting,) = shown["postings"]
    assert (posting["state"], posting["chunk_id"], posting["step"]) == ("CONFIRMED", good["id"], "posted")
    assert (shown["dead_letters"], shown["child"], shown["run_id"]) == ([], None, str(run.id))
    assert [change["after"] for change in shown["transitions"]] == ["PENDING", "RUNNING", "SUCCEEDED"]
    failed = call(world, "chunks_get", id=refused["id"]).body
    assert failed["tasks"][-1]["attempts"][0]["code"] == failed["failure"]["code"] == "invalid_data"
    assert [one["state"] for one in failed["postings"]] == ["REJECTED"]


def test_postings_and_dead_letters_say_of_which_chunk_they_are(world: World) -> None:
    set_up(world, ORDERS)
    call(
        world, "object_types_save", name="small_order",
        body={"schema": {"type": "object", "properties": {"amount": {"maximum": 25}}}},
    )  # fmt: skip
    world.publish(definition(steps=INNER))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    first, _, large, _ = chunks(world, run)["items"]
    (letter,) = call(world, "dead_letters_list", query={"chunk": large["id"]}).body["items"]
    assert (letter["chunk_id"], letter["step"], letter["run_id"]) == (large["id"], "checked", str(run.id))
    (posting,) = call(world, "postings_list", query={"chunk": first["id"]}).body["items"]
    assert (posting["chunk_id"], posting["shown"]) == (first["id"], {"number": "A-1"})
    assert len(call(world, "dead_letters_list", query={"run": str(run.id)}).body["items"]) == 2
    of_run = call(world, "runs_dead_letters", id=str(run.id)).body["items"]
    assert large["id"] in [one["chunk_id"] for one in of_run]
    shown = call(world, "chunks_get", id=large["id"]).body
    assert [one["id"] for one in shown["dead_letters"]] == [letter["id"]]
