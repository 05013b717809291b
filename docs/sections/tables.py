"""Markdown tables, and JSON Schemas as people read them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

type Schema = Mapping[str, Any]

_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "date": "date",
    "date-time": "time",
    "uuid": "id",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Inline code; nothing for nothing."""
    return f"`{text}`" if text not in (None, "") else ""


def kind(schema: Schema, definitions: Schema) -> str:
    """What values a schema takes, in a few words; objects with keys of their own are linked."""
    if "$ref" in schema:
        return _reference(str(schema["$ref"]).rpartition("/")[2], definitions)
    if "enum" in schema or "const" in schema:
        return " or ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        named = (kind(one, definitions) for one in choices if one.get("type") != "null")
        return " or ".join(dict.fromkeys(named))
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'], definitions)}" if schema.get("items") else "list"
    if schema.get("type") == "object":
        return _mapping(schema, definitions)
    return _scalar(schema)


def default(schema: Schema, *, required: bool) -> str:
    """The default as it would be written, or that there must be a value."""
    if required:
        return "required"
    value = schema.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    return code(value if isinstance(value, str) else json.dumps(value))


def _reference(name: str, definitions: Schema) -> str:
    if "properties" in definitions[name]:
        return f"[{name}](#{name.lower()})"
    return kind(definitions[name], definitions)


def _mapping(schema: Schema, definitions: Schema) -> str:
    patterns = schema.get("patternProperties", {}).values()
    values = schema.get("additionalProperties") or next(iter(patterns), None)
    return f"mapping to {kind(values, definitions)}" if isinstance(values, Mapping) else "mapping"


def _scalar(schema: Schema) -> str:
    named = _KINDS.get(str(schema.get("format") or schema.get("type")), "any value")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        return f"{named} from {low} to {high}" if high is not None else f"{named} from {low}"
    return named
