"""What may come in a request: text that a database can hold, and JSON without traps."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict

from kernel.errors import InvalidRequest

MAX_DEPTH = 64


def finite(text: str) -> float:
    """A JSON number with a point or exponent; `ValueError` when it is too large for one."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


class Body(BaseModel):
    """Base of request bodies: unknown names are faults. `number` reads numbers with a point or exponent."""

    model_config = ConfigDict(extra="forbid")
    number: ClassVar[Callable[[str], Any]] = finite


def storable(text: str, name: str) -> str:
    """The text itself; `InvalidRequest` when it holds what no database stores as text."""
    if "\x00" in text:
        raise InvalidRequest(f"`{name}` holds a NUL character, which is no text.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(f"`{name}` holds half of a surrogate pair, which is no character.")
    return text


def json_data(text: str, number: Callable[[str], Any]) -> Any:
    """The data of a JSON text; `InvalidRequest` with the place, or what is wrong, when it is none."""
    try:
        data = json.loads(text, parse_float=number, parse_constant=_refuse)
    except json.JSONDecodeError as exc:
        place = f"line {exc.lineno}, column {exc.colno}"
        raise InvalidRequest(f"The body is not JSON: {exc.msg} at {place}.") from exc
    except RecursionError as exc:
        raise InvalidRequest(f"The body is nested too deep; {MAX_DEPTH} levels are the most.") from exc
    except ValueError as exc:
        raise InvalidRequest("The body has a number that is too large or none, such as NaN.") from exc
    for part in _texts(data, 0):
        storable(part, "body")
    return data


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not JSON")


def _texts(data: Any, depth: int) -> Iterator[str]:
    """All texts in it, names too."""
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"The body is nested too deep; {MAX_DEPTH} levels are the most.")
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        yield from data
        for child in data.values():
            yield from _texts(child, depth + 1)
    elif isinstance(data, list):
        for child in data:
            yield from _texts(child, depth + 1)
