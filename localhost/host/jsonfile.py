"""Reading host.json and local.settings.json as forgivingly as the Functions host does."""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from localhost.host.errors import SettingsError

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Comments and a byte order mark are allowed, as in the Functions host.

    Raises SettingsError with line and column when the text is not JSON or not an object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path} cannot be read: {exc}. Save it as UTF-8 text.") from exc
    try:
        value = json.loads(_STRING_OR_COMMENT.sub(_blank_comment, text))
    except json.JSONDecodeError as exc:
        raise SettingsError(
            f"{path}, line {exc.lineno}, column {exc.colno}: {exc.msg}. Correct the JSON and start again."
        ) from exc
    if not isinstance(value, dict):
        raise SettingsError(f"{path} must contain a JSON object, not {type(value).__name__}.")
    return value


def _blank_comment(match: re.Match[str]) -> str:
    token = match[0]
    return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)


def unknown_keys(found: Mapping[str, Any], known: frozenset[str], place: str) -> list[str]:
    """One sentence for every key of `found` that is not in `known`, with the closest known one as a hint."""
    sentences = []
    for key in found:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            sentences.append(f"{place}: the key '{key}' is not known and is ignored{hint}")
    return sentences
