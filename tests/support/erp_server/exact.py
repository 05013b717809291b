"""JSON in and out without turning a number into a float."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_MARK = "\x00"
_MARKED = re.compile(r'"\\u0000([^"]*)"')


def read_text(data: bytes) -> Any:
    """JSON whose numbers with decimals become their text."""
    return json.loads(data, parse_float=str)


def read_marked(data: bytes) -> Any:
    """JSON whose numbers with decimals become texts that `json_response` writes as numbers again."""
    return json.loads(data, parse_float=lambda text: f"{_MARK}{text}")


def json_response(status: int, data: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; an empty one for `None`."""
    body = "" if data is None else _MARKED.sub(r"\1", json.dumps(data))
    return Response(body, status, dict(headers or {}), media_type="application/json")
