"""Reads YAML or JSON text into plain data, keeping the line of every value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from kernel.errors import Fault

MAX_CHARACTERS = 262_144
MAX_DEPTH = 40

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
                "too_large", f"The definition has {len(text):,} characters; {MAX_CHARACTERS:,} is the most."
            )
        )
        return document
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            document.faults.append(
                Fault("empty", "The definition is empty.", hint="Start with `workflow:` and `steps:`.")
            )
        else:
            document.data = _plain(root, (), document, loader)
    except yaml.MarkedYAMLError as exc:
        document.faults.append(_syntax_fault(exc))
    except (yaml.YAMLError, ValueError) as exc:
        document.faults.append(Fault("syntax", f"The text cannot be read: {str(exc).splitlines()[0]}."))
    return document


def _syntax_fault(exc: yaml.MarkedYAMLError) -> Fault:
    mark = exc.problem_mark or exc.context_mark
    problem = exc.problem or exc.context or "not YAML"
    return Fault("syntax", f"Not valid YAML or JSON: {problem}.", line=mark.line + 1 if mark else None)


def _plain(node: yaml.Node, path: Pointer, document: Document, loader: yaml.SafeLoader) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels deep")
    if isinstance(node, yaml.MappingNode):
        return dict(_entries(node, path, document, loader))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, index), document, loader) for index, child in enumerate(node.value)]
    return _scalar(node, loader)


def _scalar(node: yaml.Node, loader: yaml.SafeLoader) -> Any:
    if node.tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:float"):
        return node.value  # dates, and numbers with a point, stay as written: exact
    return loader.construct_object(node)


def _entries(
    node: yaml.MappingNode, path: Pointer, document: Document, loader: yaml.SafeLoader
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(key_node.value)
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
        yield key, _plain(value_node, where, document, loader)


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
