"""Text into plain data: values as written, each with its line, and nothing that can hurt the reader."""

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.catalogue import EXAMPLE
from workflows.document import MAX_CHARACTERS, MAX_DEPTH, Pointer, at, dotted, nearest, read_document

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
).filter(lambda data: data is not None)


def places(data: Any, path: Pointer = ()) -> list[Pointer]:
    """The paths of all values in `data`."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(data, dict):
        children = list(data.items())
    elif isinstance(data, list):
        children = list(enumerate(data))
    return [path] + [place for name, child in children for place in places(child, (*path, name))]


@settings(max_examples=120, deadline=None)
@given(DATA, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_json_reads_as_it_was_meant(data: Any, indent: int | str | None, ascii_only: bool) -> None:
    document = read_document(json.dumps(data, indent=indent, ensure_ascii=ascii_only))
    assert document.faults == []
    assert document.data == data


@pytest.mark.parametrize("character", "\t\x7f\x80\x85\x9f\xa0\u2028\u2029\ufeff\ufffe\uffff😀")
def test_json_may_have_characters_that_yaml_escapes(character: str) -> None:
    text = json.dumps({character: [f"a{character}b"]}, ensure_ascii=False, indent="\t")
    assert read_document(text).data == {character: [f"a{character}b"]}


@settings(max_examples=80, deadline=None)
@given(DATA, st.booleans())
def test_yaml_reads_as_it_was_meant(data: Any, flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, sort_keys=False)
    assert read_document(text).data == data


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, DATA, min_size=1, max_size=4))
def test_every_value_has_its_line(data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1)
    document = read_document(text)
    assert set(document.lines) == set(places(data))
    lines = text.splitlines()
    for path, line in document.lines.items():
        if path and isinstance(path[-1], str):
            assert lines[line - 1].lstrip().startswith(json.dumps(path[-1]) + ":")


def test_lines_count_from_one_and_are_those_of_the_keys() -> None:
    document = read_document("\n# comment\na: 1\nb:\n  - x\n  - y: |\n      text\n      more\n    z: 2\n")
    assert document.lines == {
        (): 3,
        ("a",): 3,
        ("b",): 4,
        ("b", 0): 5,
        ("b", 1): 6,
        ("b", 1, "y"): 6,
        ("b", 1, "z"): 9,
    }


def test_a_missing_value_has_the_line_of_what_should_hold_it() -> None:
    document = read_document("a:\n  b: 1\n")
    assert document.line(("a", "c", "d")) == 1
    assert document.fault(("a", "c"), "code", "Text.").to_dict() == {
        "code": "code",
        "message": "Text.",
        "path": "a.c",
        "line": 1,
        "severity": "error",
    }


@pytest.mark.parametrize(
    "written",
    ["2024-03-01", "2024-03-01T10:00:00Z", "1.10", "0.30", "1e5", "1_000", "010", "0x1F", "12:30:45", "no",
     "off", "Yes", "=", "99999999999999999999", ".inf", ".nan", "1.", "+1.50", "-0.00"],
)  # fmt: skip
def test_what_could_change_its_meaning_stays_as_written(written: str) -> None:
    assert read_document(f"a: {written}").data == {"a": written}
    assert read_document(f"a: {json.dumps(written)}").data == {"a": written}


@pytest.mark.parametrize(
    ("written", "value"),
    [("12", 12), ("-12", -12), ("+12", 12), ("0", 0), ("-0", 0), ("true", True), ("False", False),
     ("TRUE", True), ("null", None), ("~", None), ("", None), ("'12'", "12"), ('"true"', "true")],
)  # fmt: skip
def test_whole_numbers_truth_and_null_have_types(written: str, value: Any) -> None:
    found = read_document(f"a: {written}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_key_given_twice_is_a_fault_with_its_own_line() -> None:
    document = read_document("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert [(fault.code, fault.path, fault.line) for fault in document.faults] == [
        ("duplicate_key", "a.b", 4)
    ]
    assert document.data == {"a": {"b": 3, "c": 2}}


def test_escaped_pairs_of_surrogates_are_one_character() -> None:
    assert read_document('{"a\\ud83d\\ude00": "\\ud83d\\ude00"}').data == {"a😀": "😀"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: &x 1\nb: *x", "aliases", 2),
        ("a: &x\n  b: *x", "aliases", 2),
        ("base: &b {a: 1}\nc:\n  <<: *b", "aliases", 3),
        (BOMB, "aliases", 2),
        ("a:\n  b: !env HOME", "'!env' means nothing", 2),
        ("a:\n  - !ref {b: 1}", "'!ref' means nothing", 2),
        ("? [a, b]\n: c", "a key must be text", 1),
        ("a: 1\nb: c: d", "not allowed here", 2),
        ("a: 1\n---\nb: 2", "another document", 2),
        ("a: 'open", "end of stream", 1),
        ("a:\n\t- 1", "cannot start any token", 2),
        ('a: "\\0"', "U+0000", 1),
        ('a: 1\nb: "\\ud83d"', "surrogate", 2),
        ("a: 1\nb: \x01", "U+0001", 2),
        ("a: 1\nb: \ud83d", "U+D83D", 2),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, said: str, line: int) -> None:
    document = read_document(text)
    assert [(fault.code, fault.line) for fault in document.faults] == [("syntax", line)]
    assert said in document.faults[0].message
    assert document.faults[0].hint
    assert document.data is None


def test_an_anchor_that_nothing_refers_to_is_harmless() -> None:
    assert read_document("a: &x {b: 1}").data == {"a": {"b": 1}}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!bool", "!!int", "!!float", "!!binary"])
def test_a_tag_makes_no_objects(tag: str) -> None:
    assert read_document(f"a: {tag} 'echo'").data == {"a": "echo"}


def nested(opening: str, closing: str, depth: int) -> str:
    return opening * depth + "x" + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ('{"a":', "}"), ("- ", "")])
def test_depth_has_a_limit(opening: str, closing: str) -> None:
    assert read_document(nested(opening, closing, MAX_DEPTH)).faults == []
    for depth in (MAX_DEPTH + 1, MAX_CHARACTERS // 10):
        (fault,) = read_document(nested(opening, closing, depth)).faults
        assert f"more than {MAX_DEPTH} levels" in fault.message


def test_size_has_a_limit() -> None:
    assert read_document("#" * MAX_CHARACTERS).faults[0].code == "empty"
    (fault,) = read_document("#" * (MAX_CHARACTERS + 1)).faults
    assert (fault.code, "262,144" in fault.message) == ("too_large", True)


HUGE = {
    "brackets": "[" * MAX_CHARACTERS,
    "question marks": "? " * (MAX_CHARACTERS // 2),
    "tags": "!" * MAX_CHARACTERS,
    "open quote": '"' + "a" * (MAX_CHARACTERS - 1),
    "keys": "\n".join(f"k{number}: 1" for number in range(20_000)),
    "bomb": BOMB,
    "tabs": "\t" * MAX_CHARACTERS,
    "json": json.dumps({f"k{number}": "v" for number in range(12_000)}),
}


@pytest.mark.parametrize("text", HUGE.values(), ids=list(HUGE))
def test_no_text_takes_long(text: str) -> None:
    assert len(text) <= MAX_CHARACTERS
    started = time.process_time()
    read_document(text)
    assert time.process_time() - started < 10


SYNTAX = "ab1:-{}[],'\"&*!?|>#%@~\\ \n\t.<\0é😀\ud800"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from(SYNTAX)))
def test_any_text_gives_data_or_a_fault(text: str) -> None:
    document = read_document(text)
    assert document.faults or document.data is not None
    assert all(fault.line is None or fault.line >= 1 for fault in document.faults)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_example_gives_data_or_a_fault(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(EXAMPLE)))
    end = data.draw(st.integers(start, min(len(EXAMPLE), start + 40)))
    document = read_document(EXAMPLE[:start] + data.draw(st.text(max_size=5)) + EXAMPLE[end:])
    assert document.faults or document.data is not None


@settings(max_examples=50, deadline=None)
@given(DATA)
def test_paths_lead_to_values(data: Any) -> None:
    for path in places(data):
        found = data
        for part in path:
            found = found[part]
        assert at(data, path) is found
        assert at(data, (*path, "no such key")) is None
        assert at(data, (*path, 10_000)) is None


def test_paths_are_written_as_people_write_them() -> None:
    assert dotted(("steps", 2, "push", "key")) == "steps[2].push.key"
    assert dotted(()) == ""


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert nearest("hurs", ["hours", "days"]) == "Did you mean 'hours'?"
    assert nearest("x", ["hours", "days"]) == "Known: days, hours."
    assert nearest("x", []) == "Known: none."
