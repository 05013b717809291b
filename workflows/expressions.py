"""CEL conditions and `${{ }}` templates over the values a run knows.

CEL has no decimals: a decimal goes in as a double, which keeps comparisons right up to 15 significant
digits, and a value with more is refused. Money is computed in SQL; CEL only compares. Integers have 64 bits.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidData, InvalidRequest

if TYPE_CHECKING:
    import cel

MAX_DIGITS = 15
# Far longer ones can nest so deep that CEL's parser overflows its stack, which would end the process.
MAX_CHARACTERS = 4_000
_LEAST_INTEGER = -(2**63)
_TEMPLATE = re.compile(r"\$\{\{((?:(?!\}\}|\$\{\{).)*)\}\}", re.DOTALL)
_FUNCTION = re.compile(r"Function '(\w+)' error")


@dataclass(frozen=True)
class Refusal:
    """Why an expression has no value. `certain` when other values of the same types would not help."""

    reason: str
    certain: bool


@lru_cache(maxsize=512)
def compile_expression(text: str) -> "cel.Program":
    """The compiled program; `InvalidRequest` with CEL's reason when it does not parse."""
    import cel

    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(
            f"The expression has {len(text):,} characters; {MAX_CHARACTERS:,} is the most. Compute the value "
            "in SQL and let the expression test the result."
        )
    try:
        return cel.compile(text)
    except ValueError as exc:
        raise InvalidRequest(f"The expression does not parse: {_first_reason(str(exc))}") from exc


def variables(text: str) -> frozenset[str]:
    """The root names an expression reads."""
    return frozenset(compile_expression(text).variables())


def try_out(text: str, values: Mapping[str, Any]) -> Any:
    """The expression's value, or the `Refusal` that says why it has none."""
    program = compile_expression(text)
    needed = {name: plain_values(values[name]) for name in program.variables() if name in values}
    try:
        return program.execute(needed)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as exc:
        return _refusal(text, exc)


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    """The expression's value. `InvalidData` when a name is missing or types or values do not fit."""
    found = try_out(text, values)
    if isinstance(found, Refusal):
        raise InvalidData(f"The expression {text!r} {found.reason}")
    return found


def _refusal(text: str, exc: Exception) -> Refusal:
    """CEL's reason in words that hold no record values; its own messages quote some."""
    said = str(exc)
    if isinstance(exc, KeyError):
        name = str(exc.args[0])
        if re.search(rf"\b{re.escape(name)}\b", text):
            return Refusal(f"names {name!r}, which is not there.", True)
        return Refusal("names what is not there.", False)
    if isinstance(exc, TypeError) or said.startswith("Undefined"):
        return Refusal(f"cannot be evaluated: {_first_reason(said)}", True)
    if isinstance(exc, ZeroDivisionError):
        return Refusal("divides by zero.", False)
    if called := _FUNCTION.match(said):
        return Refusal(f"cannot be evaluated: the function {called[1]!r} does not accept the value.", False)
    return Refusal("cannot be evaluated: a value is out of range.", False)


def holds(text: str, values: Mapping[str, Any]) -> bool:
    """Whether a condition holds; anything but true or false is an error, never a guess."""
    found = evaluate(text, values)
    if not isinstance(found, bool):
        raise InvalidData(f"The condition {text!r} gave {type(found).__name__}, not true or false.")
    return found


def template_expressions(value: Any) -> Iterator[str]:
    """All expressions inside `${{ }}` of a parameter value, nested ones too.

    A template without its end comes out whole: it does not parse, which is what the author must hear.
    """
    if isinstance(value, str):
        yield from (found.strip() for found in _TEMPLATE.findall(value))
        _, opened, rest = _TEMPLATE.sub(" ", value).partition("${{")
        if opened:
            yield opened + rest
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
        return _value(whole[1].strip(), values)
    return _TEMPLATE.sub(lambda found: _text(_value(found[1].strip(), values)), text)


def _value(expression: str, values: Mapping[str, Any]) -> Any:
    """What CEL gives; but a decimal that is only named stays exactly what it is."""
    found: Any = values
    for name in expression.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Decimal) else evaluate(expression, values)


def _text(value: Any) -> str:
    """The value as people read it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    return format(Decimal(repr(value)).normalize(), "f") if isinstance(value, float) else str(value)


def plain_values(value: Any) -> Any:
    """What CEL can work with: decimals as numbers, dates and times as ISO text."""
    if isinstance(value, Mapping):
        return {name: plain_values(child) for name, child in value.items()}
    if isinstance(value, Decimal):
        _check_exact(len("".join(map(str, value.as_tuple().digits)).rstrip("0")) <= MAX_DIGITS)
        return float(value)
    if isinstance(value, int):
        _check_exact(_LEAST_INTEGER <= value <= -_LEAST_INTEGER - 1)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _check_exact(exact: bool) -> None:
    if not exact:
        raise InvalidData(
            f"A decimal of more than {MAX_DIGITS} digits or an integer of more than 64 bits cannot be "
            "compared exactly in a rule; compare it in the facts' SQL and let the rule test the result."
        )


def _first_reason(text: str) -> str:
    reason = text.split("ERROR: <input>:")[-1].splitlines()[0].strip()
    return reason if reason.endswith(".") else f"{reason}."
