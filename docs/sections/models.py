"""The keys of the definition language and of other models."""

from collections.abc import Iterator

from pydantic import BaseModel

from docs.sections.meanings import MEANINGS
from docs.sections.tables import Schema, code, default, kind, table
from kernel.verbs import Verb
from workflows.model import STEP_VERBS, Workflow

_HEADER = ("key", "value", "default", "meaning")


def keys(name: str) -> str:
    """The keys of one part of a definition."""
    return keys_of(Workflow, name)


def keys_of(model: type[BaseModel], name: str) -> str:
    """The keys of a model or of a model inside it. Raises `KeyError` for a key that nobody explains."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    return table(_HEADER, _rows(schema if name == model.__name__ else definitions[name], name, definitions))


def verbs() -> str:
    """The verbs with what each may do, and how a step says it."""
    return table(
        ("verb", "side effect", "in a definition"),
        ((verb.name, verb.side_effect, f"`{verb}:`" if verb in STEP_VERBS else "not yet") for verb in Verb),
    )


def _rows(part: Schema, name: str, definitions: Schema) -> Iterator[tuple[str, str, str, str]]:
    required = part.get("required", ())
    for key, schema in part["properties"].items():
        meaning = MEANINGS.get(f"{name}.{key}") or schema.get("description")
        if meaning is None:
            raise KeyError(f"{name}.{key} has no meaning: describe the field, or add it to MEANINGS.")
        yield code(key), kind(schema, definitions), default(schema, required=key in required), meaning
