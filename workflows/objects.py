"""Business object types: JSON Schemas that records must meet."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from kernel.errors import Fault, InvalidRequest
from kernel.records import Record
from workflows.document import at
from workflows.rows import plain


class ObjectType:
    """One compiled JSON Schema (draft 2020-12) for records of a type, e.g. `cost_line`."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        import jsonschema_rs

        try:
            # Offline: a `$ref` must not make this process read files or call addresses.
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(schema), validate_formats=True, offline=True
            )
        except ValueError as exc:
            raise InvalidRequest(f"The schema of {name!r} is not a JSON Schema: {_line(exc)}") from exc
        self.name = name
        self._schema = schema

    @property
    def fields(self) -> frozenset[str]:
        """The properties that the schema names."""
        return frozenset(self._schema.get("properties", {}))

    @property
    def required(self) -> frozenset[str]:
        """The properties a record must have."""
        return frozenset(self._schema.get("required", ()))

    def accepts(self, record: Record) -> bool:
        """Whether the record meets the schema."""
        return bool(self._validator.is_valid(_instance(record)))

    def faults(self, record: Record) -> list[Fault]:
        """Why the record does not meet the schema: one fault a property, without record values in texts."""
        return [self._fault(error, record) for error in self._validator.iter_errors(_instance(record))]

    def _fault(self, error: Any, record: Record) -> Fault:
        path = error.schema_path
        keyword = "falseSchema" if path[-2:-1] == ["properties"] else str(path[-1])
        field = str(
            error.instance_path[0] if error.instance_path else error.kind.as_dict().get("property", "")
        )
        rule = self._rule(path[:-1])
        reasons = rule.get("x-reasons")
        said = reasons.get(keyword) if isinstance(reasons, Mapping) else None
        value = plain(record.get(field))
        return Fault(
            f"schema_{keyword.lower()}",
            str(said or _sentence(field, keyword, rule)),
            field=field or None,
            value=None if value is None else str(value),
        )

    def _rule(self, path: Sequence[str | int]) -> Mapping[str, Any]:
        """The subschema that a keyword stands in, wherever a `$ref` led."""
        found = at(self._schema, tuple(path))
        return found if isinstance(found, Mapping) else {}


_SENTENCES = {
    "required": "{field} is missing.",
    "additionalProperties": "The record has columns that its type does not know.",
    "falseSchema": "{field} is not allowed.",
    "type": "{field} must be of type {limit}.",
    "const": "{field} must be {limit}.",
    "minimum": "{field} must be at least {limit}.",
    "maximum": "{field} must be at most {limit}.",
    "exclusiveMinimum": "{field} must be more than {limit}.",
    "exclusiveMaximum": "{field} must be less than {limit}.",
    "minLength": "{field} must have at least {limit} characters.",
    "maxLength": "{field} must have at most {limit} characters.",
    "pattern": "{field} must match {limit}.",
    "enum": "{field} must be {limit}.",
    "format": "{field} must be a {limit}.",
    "multipleOf": "{field} must be a multiple of {limit}.",
}


def _sentence(field: str, keyword: str, rule: Mapping[str, Any]) -> str:
    template = _SENTENCES.get(keyword)
    if template is None:
        return f"{field or 'The record'} does not meet the {keyword!r} rule of its type."
    limit = rule.get(keyword)
    return template.format(
        field=field or "The record",
        limit=" or ".join(map(str, limit)) if isinstance(limit, list) else limit,
    )


def _instance(record: Record) -> dict[str, Any]:
    """The record as JSON has it, with numbers that the validator compares exactly.

    It does so for integers, and for decimals unless they have a fraction and exceed 2**53.
    """
    return {name: _number(v) if isinstance(v, Decimal) else plain(v) for name, v in record.items()}


def _number(value: Decimal) -> Decimal | int:
    whole = int(value)
    return whole if whole == value else value


def _line(exc: Exception) -> str:
    return str(exc).splitlines()[0]
