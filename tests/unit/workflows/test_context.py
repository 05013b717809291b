"""Step outputs stay in memory: no pickling, no JSON, no values in print, nothing left afterwards."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from kernel.records import Records, parse_columns
from workflows.context import PipelineContext, StepOutput, pipeline_context

CANARY = "canary-4711"
RECORDS = Records(parse_columns({"worker": "text"}), [{"worker": CANARY}])


def output() -> StepOutput:
    return StepOutput({"records": 1, "top": CANARY}, RECORDS, frozenset({"worker"}))


def test_outputs_are_kept_by_step() -> None:
    with pipeline_context({"a": output()}) as context:
        context.put("b", StepOutput({"records": 0}))
        assert context.output("a").records is RECORDS
        assert set(context.outputs()) == {"a", "b"}
        assert context.measures() == {"a": {"records": 1, "top": CANARY}, "b": {"records": 0}}


def test_tables_are_the_asked_steps_that_have_records() -> None:
    with pipeline_context({"a": output(), "b": StepOutput({"records": 0})}) as context:
        assert context.tables(frozenset({"a", "b", "skipped"})) == {"a": RECORDS}
        assert context.tables(frozenset()) == {}


def test_a_step_without_output_is_a_key_error() -> None:
    with pipeline_context() as context, pytest.raises(KeyError):
        context.output("a")


def test_what_is_handed_out_cannot_change_the_context() -> None:
    given = {"a": output()}
    with pipeline_context(given) as context:
        context.outputs().clear()
        context.measures()["a"]["records"] = 99
        context.put("b", StepOutput())
        assert context.measures()["a"]["records"] == 1
        assert set(given) == {"a"}


@pytest.mark.parametrize("move", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_it_refuses_to_be_copied_or_serialised(move: Callable[[Any], object]) -> None:
    with pipeline_context({"a": output()}) as context:
        with pytest.raises(TypeError) as caught:
            move(context)
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize("move", [pickle.dumps, copy.deepcopy, json.dumps])
def test_an_output_with_records_refuses_too(move: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        move(output())


@pytest.mark.parametrize("show", [repr, str, format, "{!r}".format, lambda thing: f"{[thing]} {vars(thing)}"])
def test_printing_shows_shapes_only(show: Callable[[Any], str]) -> None:
    with pipeline_context({"a": output()}) as context:
        assert CANARY not in show(context)
        assert "1 rows" in show(context)
    assert CANARY not in repr(output())


USES: list[Callable[[PipelineContext], object]] = [
    lambda context: context.output("a"),
    lambda context: context.outputs(),
    lambda context: context.measures(),
    lambda context: context.tables(frozenset()),
    lambda context: context.put("a", StepOutput()),
]


@pytest.mark.parametrize("use", USES)
def test_it_is_empty_and_closed_afterwards(use: Callable[[PipelineContext], object]) -> None:
    with pipeline_context({"a": output()}) as context:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        use(context)
    assert repr(context) == "PipelineContext({})"


def test_it_is_closed_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), pipeline_context({"a": output()}) as context:
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="closed"):
        context.outputs()


def test_closing_twice_is_harmless() -> None:
    with pipeline_context() as context:
        context.close()
