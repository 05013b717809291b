"""CEL conditions and `${{ }}` templates over the values a run knows.

CEL has no decimals: a decimal goes in as a double, which keeps comparisons right up to 15 significant
digits, and a value with more is refused. Money is computed in SQL; CEL only compares.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidData, InvalidRequest

if TYPE_CHECKING:
    import cel

MAX_DIGITS = 15
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


@lru_cache(maxsize=512)
def compile_expression(text: str) -> "cel.Program":
    """The compiled program; `InvalidRequest` with CEL's reason when it does not parse."""
    import cel

    try:
        return cel.compile(text)
    except ValueError as exc:
        raise InvalidRequest(f"The expression does not parse: {_first_reason(str(exc))}") from exc


def variables(text: str) -> frozenset[str]:
    """The root names an expression reads."""
    return frozenset(compile_expression(text).variables())


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    """The expression's value. `InvalidData` when a name is missing or types do not fit."""
    program = compile_expression(text)
    try:
        return program.execute(plain_values(values))
    except KeyError as exc:
        raise InvalidData(f"The expression {text!r} names {exc.args[0]!r}, which is not there.") from exc
    except (RuntimeError, TypeError, ValueError) as exc:
        raise InvalidData(f"The expression {text!r} cannot be evaluated: {_first_reason(str(exc))}") from exc


def holds(text: str, values: Mapping[str, Any]) -> bool:
    """Whether a condition holds; anything but true or false is an error, never a guess."""
    found = evaluate(text, values)
    if not isinstance(found, bool):
        raise InvalidData(f"The condition {text!r} gave {type(found).__name__}, not true or false.")
    return found


def template_expressions(value: Any) -> Iterator[str]:
    """All expressions inside `${{ }}` of a parameter value, nested ones too."""
    if isinstance(value, str):
        yield from (found.strip() for found in _TEMPLATE.findall(value))
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from template_expressions(child)
    elif isinstance(value, list):
        for child in value:
            yield from template_expressions(child)


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with its templates filled in. A text that is one template keeps the expression's type."""
    if isinstance(value, str):
        return _fill_text(value, values)
    if isinstance(value, Mapping):
        return {name: fill(child, values) for name, child in value.items()}
    if isinstance(value, list):
        return [fill(child, values) for child in value]
    return value


def _fill_text(text: str, values: Mapping[str, Any]) -> Any:
    whole = _TEMPLATE.fullmatch(text.strip())
    if whole:
        return evaluate(whole[1].strip(), values)
    return _TEMPLATE.sub(lambda found: _shown(found[1].strip(), values), text)


def _shown(expression: str, values: Mapping[str, Any]) -> str:
    """The value as people read it. A plain name keeps its decimals; a computed value has what CEL gives."""
    found: Any = values
    for name in expression.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return format(found, "f") if isinstance(found, Decimal) else _text(evaluate(expression, values))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return format(Decimal(repr(value)).normalize(), "f") if isinstance(value, float) else str(value)


def plain_values(value: Any) -> Any:
    """What CEL can work with: decimals as numbers, dates and times as ISO text."""
    if isinstance(value, Mapping):
        return {name: plain_values(child) for name, child in value.items()}
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _number(value: Decimal) -> float:
    if len(value.normalize().as_tuple().digits) > MAX_DIGITS:
        raise InvalidData(
            f"A number with more than {MAX_DIGITS} digits cannot be compared exactly in a rule; "
            "compare it in the facts' SQL and let the rule test the result."
        )
    return float(value)


def _first_reason(text: str) -> str:
    reason = text.split("ERROR: <input>:")[-1].splitlines()[0].strip()
    return reason if reason.endswith(".") else f"{reason}."
