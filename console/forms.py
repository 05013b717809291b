"""Reads what a form has sent, strictly: nothing that our pages would not send."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

import azure.functions as func

from kernel.errors import InvalidRequest, TooLarge, UnsupportedMedia

MAX_BYTES = 64_000
_KIND = "application/x-www-form-urlencoded"
_MOST = 12


def read_form(request: func.HttpRequest, names: Collection[str]) -> Mapping[str, str]:
    """The fields of the body, each of `names` once or not at all; missing ones are empty. Line ends are
    single. Raises `UnsupportedMedia`, `TooLarge` or `InvalidRequest`."""
    kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != _KIND:
        raise UnsupportedMedia(f"Forms are sent as {_KIND}, not as {kind[:40] or 'nothing'}.")
    data: bytes = request.get_body()
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The form has {len(data):,} bytes; at most {MAX_BYTES:,} are accepted.")
    pairs = _pairs(data)
    sent = dict(pairs)
    if len(sent) != len(pairs) or not sent.keys() <= set(names):
        raise InvalidRequest("The form has fields that do not belong in it. Open the page again.")
    return {name: _text(sent.get(name, "")) for name in names}


def _pairs(data: bytes) -> list[tuple[str, str]]:
    try:
        text = data.decode("ascii")
        return parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=_MOST
        )
    except ValueError as exc:
        raise InvalidRequest("The form cannot be read. Open the page again and send it from there.") from exc


def _text(value: str) -> str:
    if "\x00" in value:
        raise InvalidRequest("The form holds a NUL character, which is no text.")
    return value.replace("\r\n", "\n").strip()
