"""Reads YAML or JSON text into plain data, keeping the line of every value.

Only what means the same in YAML 1.1, YAML 1.2 and JSON is given a type: null, true and false, and whole
numbers. Dates, numbers with a point, and words such as `no` stay text as written.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from kernel.errors import Fault

MAX_CHARACTERS = 262_144
MAX_DEPTH = 40
_CORE = "tag:yaml.org,2002:"
_ONLY_JSON = re.compile("[\t\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9]\d{0,17})", re.ASCII)

type Pointer = tuple[str | int, ...]


@dataclass
class Document:
    """Plain data and the line (from 1) of each value and key, by path."""

    data: Any = None
    lines: dict[Pointer, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, path: Pointer) -> int | None:
        """The line of the value at `path`, or of its nearest parent."""
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return line
        return None

    def fault(self, path: Pointer, code: str, message: str, hint: str = "", severity: str = "error") -> Fault:
        """A fault placed at `path`."""
        return Fault(code, message, dotted(path), self.line(path), hint=hint, severity=severity)


def dotted(path: Pointer) -> str:
    """`steps[2].push.key` for `("steps", 2, "push", "key")`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def read_document(text: str) -> Document:
    """Parse `text`; `faults` tell what is wrong, and `data` is `None` when nothing could be read."""
    document = Document()
    if len(text) > MAX_CHARACTERS:
        document.faults.append(
            Fault(
                "too_large",
                f"The definition has {len(text):,} characters; {MAX_CHARACTERS:,} is the most.",
                hint="Split it into several workflows.",
            )
        )
        return document
    text = _as_yaml(text)
    try:
        root = _Composer(text).get_single_node()
        document.data = None if root is None else _plain(root, (), document)
    except yaml.MarkedYAMLError as exc:
        document.faults.append(_syntax_fault(exc))
    except ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        said = f"The character U+{exc.character:04X} cannot stand in a definition."
        document.faults.append(Fault("syntax", said, line=line, hint="Remove it, or escape it in quotes."))
    else:
        if document.data is None:
            document.faults.append(
                Fault("empty", "The definition is empty.", hint="Start with `workflow:` and `steps:`.")
            )
    return document


class _Composer(yaml.SafeLoader):
    """Text into nodes. Without aliases, because a few of them can stand for billions of values."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node with all below it."""
        if self.check_event(yaml.AliasEvent):
            self._refuse("aliases (`*name`) are not supported; write the value out")
        if self.depth > MAX_DEPTH:
            self._refuse(f"values are nested more than {MAX_DEPTH} levels deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, problem: str) -> NoReturn:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # gap in the stubs
        raise ComposerError(None, None, problem, mark)


def _as_yaml(text: str) -> str:
    """JSON may have tabs between values, and in strings some characters that YAML knows as escapes only."""
    if not _ONLY_JSON.search(text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _ONLY_JSON.sub(lambda found: " " if found[0] == "\t" else f"\\u{ord(found[0]):04x}", text)


def _syntax_fault(exc: yaml.MarkedYAMLError) -> Fault:
    mark = exc.problem_mark or exc.context_mark
    problem = exc.problem or exc.context or "not YAML"
    hint = "Check indentation, quotes and brackets there and just before."
    return Fault(
        "syntax", f"Not valid YAML or JSON: {problem}.", line=mark.line + 1 if mark else None, hint=hint
    )


def _plain(node: yaml.Node, path: Pointer, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if not node.tag.startswith(_CORE):
        raise ConstructorError(None, None, f"the tag {node.tag!r} means nothing here", node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return dict(_entries(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, index), document) for index, child in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    kind, text = node.tag.removeprefix(_CORE), _text(node)
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "int" and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return text


def _text(node: yaml.Node) -> str:
    """The scalar's text with the surrogate pairs of JSON escapes joined, as databases can store it."""
    if not isinstance(node, yaml.ScalarNode):
        raise ConstructorError(None, None, "a key must be text", node.start_mark)
    text = str(node.value)
    if "\0" in text:
        raise ConstructorError(None, None, "the character U+0000 cannot be stored", node.start_mark)
    try:
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as exc:
        raise ConstructorError(None, None, "half of a surrogate pair", node.start_mark) from exc


def _entries(node: yaml.MappingNode, path: Pointer, document: Document) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = _text(key_node)
        where = (*path, key)
        if key in seen:
            line = key_node.start_mark.line + 1
            document.faults.append(
                Fault(
                    "duplicate_key",
                    f"The key {key!r} is given twice.",
                    dotted(where),
                    line,
                    hint="Remove one.",
                )
            )
        seen.add(key)
        document.lines[where] = key_node.start_mark.line + 1
        yield key, _plain(value_node, where, document)


def at(data: Any, path: Pointer) -> Any:
    """The value at `path`, or `None`."""
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def nearest(name: str, known: list[str]) -> str:
    """A hint that names what the author may have meant."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(sorted(known)) or 'none'}."
