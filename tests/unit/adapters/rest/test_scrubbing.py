"""What systems say about failures, made fit to be shown."""

from datetime import date
from decimal import Decimal
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.datasource.rest.scrubbing import LONGEST_TEXT, plain_text, scrubbed
from kernel.records import Record

secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@given(st.text(max_size=300), secrets, st.text(max_size=300))
def test_no_secret_is_left_wherever_it_stands(before: str, secret: str, after: str) -> None:
    clean = scrubbed(f"{before}{secret}{after}{quote(secret, safe='')}", [secret])
    assert secret not in clean or secret in "[redacted]"
    assert len(clean) <= LONGEST_TEXT


@pytest.mark.parametrize(
    "text",
    ["Bearer abcdef.123456", "authorization: basic dXNlcjpwYXNzd29yZA==", "got Token 0123456789abcdef"],
)
def test_what_looks_like_credentials_goes_even_if_it_is_not_ours(text: str) -> None:
    assert not {"abcdef", "dXNlcjpwYXNzd29yZA", "0123456789"} & set(scrubbed(text, []).split())
    assert "[redacted]" in scrubbed(text, [])


def test_record_values_are_told_by_their_names() -> None:
    values: Record = {
        "project": "Harbour wall",
        "amount": Decimal("-12.50"),
        "day": date(2026, 1, 2),
        "n": 7,
        "none": None,
        "flag": True,
    }
    text = "Harbour wall: amount -12.50 on 2026-01-02 (7 True, Harbour walls)"
    assert scrubbed(text, [], values) == "[project]: amount [amount] on [day] (7 True, Harbour walls)"


def test_lines_and_control_characters_become_spaces() -> None:
    assert scrubbed("a\r\nb\x1b[31mc\x00", []) == "a b [31mc"


def test_only_texts_are_taken_from_an_error() -> None:
    assert plain_text(["no", {"inner": "canary"}, 7, None]) == "no; 7"
    assert plain_text({"inner": "canary"}) == plain_text(None) == plain_text(True) == ""
