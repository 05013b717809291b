"""A version is what its definition says: any change is another hash, and only a change."""

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidDefinition
from tests.unit.workflows.catalogue import EXAMPLE, checked
from tests.unit.workflows.test_document import places
from workflows.document import Pointer, at, read_document
from workflows.model import Workflow
from workflows.version import canonical_json, definition_json, version_hash

DATA = read_document(EXAMPLE).data
PATHS = [path for path in places(DATA) if path]


def hash_of(text: str) -> str:
    return version_hash(checked(text).require()[0])


def shuffled(data: Any, draw: st.DataObject) -> Any:
    """The same data with the keys of every mapping in another order."""
    if isinstance(data, dict):
        names = draw.draw(st.permutations(list(data)))
        return {name: shuffled(data[name], draw) for name in names}
    return [shuffled(child, draw) for child in data] if isinstance(data, list) else data


@settings(max_examples=8, deadline=None)
@given(st.data(), st.sampled_from([None, 1, "\t"]))
def test_order_of_keys_and_formatting_do_not_matter(draw: st.DataObject, indent: int | str | None) -> None:
    data = shuffled(DATA, draw)
    assert hash_of(json.dumps(data, indent=indent)) == hash_of(EXAMPLE)
    assert hash_of(yaml.safe_dump(data, sort_keys=False)) == hash_of(EXAMPLE)


def test_comments_do_not_matter() -> None:
    assert hash_of("# said\n" + EXAMPLE.replace("workflow:", "# more\nworkflow:", 1)) == hash_of(EXAMPLE)


def changed(path: Pointer) -> Any:
    """The example with one value changed so that it still is a workflow, as far as its shape goes."""
    data = copy.deepcopy(DATA)
    parent, name = at(data, path[:-1]), path[-1]
    value = parent[name]
    if isinstance(value, list):
        parent[name] = [*value, copy.deepcopy(value[0])]
    elif isinstance(value, dict):
        del parent[name]
    elif isinstance(value, int):
        parent[name] = value + 1
    else:
        parent[name] = {"fail": "dead_letter", "dead_letter": "fail", "text": "date", "decimal": "text",
                        "1m": "2m", "2s": "3s"}.get(value, f"{value}x")  # fmt: skip
    return data


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_any_change_is_another_version(path: Pointer) -> None:
    try:
        other = Workflow.model_validate(changed(path))
    except ValueError:
        return  # not a workflow any more, so no version
    assert version_hash(other) != version_hash(Workflow.model_validate(DATA))


def test_most_changes_above_leave_a_workflow() -> None:
    def is_workflow(path: Pointer) -> bool:
        try:
            Workflow.model_validate(changed(path))
        except ValueError:
            return False
        return True

    assert sum(map(is_workflow, PATHS)) > len(PATHS) * 0.6


def test_the_order_of_steps_is_a_change() -> None:
    data = copy.deepcopy(DATA)
    data["steps"][0], data["steps"][2] = data["steps"][2], data["steps"][0]
    assert version_hash(Workflow.model_validate(data)) != version_hash(Workflow.model_validate(DATA))


def test_the_stored_definition_reads_as_the_same_version() -> None:
    workflow = checked(EXAMPLE).require()[0]
    stored = json.loads(json.dumps(definition_json(workflow)))
    again = Workflow.model_validate(stored)
    assert again == workflow
    assert version_hash(again) == version_hash(workflow)
    assert "with" in stored["steps"][0]["fetch"]


def test_parts_left_out_stay_left_out() -> None:
    definition = definition_json(checked(EXAMPLE).require()[0])
    assert set(definition["steps"][2]) == {"key", "name", "fetch"}


def test_a_hash_is_64_hex_digits_and_stays_what_it_was() -> None:
    """Runs refer to their version by its hash: another one for the same definition would orphan them."""
    workflow = Workflow.model_validate(
        {"workflow": "w", "name": "Ünal", "steps": [{"key": "a", "transform": {"sql": "SELECT 1 AS n"}}]}
    )
    assert version_hash(workflow) == "726375f2684a2c798fe04117e9aa06415fde35db91d6c3481c66496f01a836de"


def test_pins_are_part_of_the_identity() -> None:
    """Any change of which, where or whether at all; what is pinned to nothing is as before."""
    workflow = checked(EXAMPLE).require()[0]
    pins: list[dict[str, str]] = [{}, {"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}]
    assert version_hash(workflow, {}) == version_hash(workflow)
    assert len({version_hash(workflow, pinned) for pinned in pins}) == len(pins)
    assert version_hash(workflow, {"b": "1", "a": "1"}) == version_hash(workflow, pins[-1])


def test_dispatches_and_runs_are_stored_as_they_were_written() -> None:
    call = {"connector": "c", "operation": "o", "with": {"n": 1}}
    steps = [
        {"key": "a", "dispatch": {"over": {"fetch": call}, "key": ["n"], "tolerate": "5%", "workflow": "x"}},
        {"key": "b", "dispatch": {"over": "c", "key": ["n"], "steps": [{"key": "d", "fetch": call}]}},
        {"key": "e", "run": {"workflow": "x", "inputs": {"n": [1, {"m": None}]}}},
    ]
    workflow = Workflow.model_validate({"workflow": "w", "steps": steps})
    assert definition_json(workflow)["steps"] == steps
    assert Workflow.model_validate(definition_json(workflow)) == workflow


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_canonical_json_is_json_and_one_text_for_one_meaning(data: Any) -> None:
    text = canonical_json(data)
    assert json.loads(text) == data
    assert canonical_json(json.loads(text)) == text


def test_a_definition_with_faults_has_no_version() -> None:
    with pytest.raises(InvalidDefinition):
        hash_of("workflow: w\nsteps: []")
