"""Business object types: JSON Schemas that records must meet."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kernel.errors import Fault, InvalidRequest
from kernel.records import Record
from workflows.rows import plain


class ObjectType:
    """One compiled JSON Schema (draft 2020-12) for records of a type, e.g. `cost_line`."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        import jsonschema_rs

        try:
            self._validator = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
        except (jsonschema_rs.ValidationError, ValueError) as exc:
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
        field = str(error.instance_path[0]) if error.instance_path else ""
        keyword = str(error.schema_path[-1])
        rule = self._schema.get("properties", {}).get(field, {})
        said = rule.get("x-reasons", {}).get(keyword) or _sentence(field, keyword, rule)
        value = record.get(field)
        return Fault(f"schema_{keyword.lower()}", said, field=field or None, value=str(plain(value)))


_SENTENCES = {
    "type": "{field} must be a {limit}.",
    "minimum": "{field} must be at least {limit}.",
    "maximum": "{field} must be at most {limit}.",
    "exclusiveMinimum": "{field} must be more than {limit}.",
    "exclusiveMaximum": "{field} must be less than {limit}.",
    "minLength": "{field} must have at least {limit} characters.",
    "maxLength": "{field} must have at most {limit} characters.",
    "pattern": "{field} must match {limit}.",
    "enum": "{field} must be one of {limit}.",
    "format": "{field} must be a {limit}.",
    "multipleOf": "{field} must be a multiple of {limit}.",
}


def _sentence(field: str, keyword: str, rule: Mapping[str, Any]) -> str:
    template = _SENTENCES.get(keyword)
    if template is None or not field:
        return f"The record does not meet the {keyword!r} rule of its type."
    return template.format(field=field, limit=rule.get(keyword))


def _instance(record: Record) -> dict[str, Any]:
    # JSON numbers: bounds are compared as doubles; money itself never takes this way.
    return {name: float(v) if isinstance(v, Decimal) else plain(v) for name, v in record.items()}


def _line(exc: Exception) -> str:
    return str(exc).splitlines()[0]
