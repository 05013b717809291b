"""Tokens of forms."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.tokens import LASTS, FormTokens, FormTooOld
from kernel.errors import Forbidden
from kernel.secrets import Secret

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TOKENS = FormTokens(Secret("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="))
OTHER = FormTokens(Secret("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="))
SAID = ("browser", "local:carla", "approval 1")


def test_a_token_counts_for_what_it_was_made_for_and_for_some_hours() -> None:
    token = TOKENS.make(*SAID, NOW)
    TOKENS.check(token, *SAID, NOW + LASTS)
    with pytest.raises(FormTooOld):
        TOKENS.check(token, *SAID, NOW + LASTS + timedelta(seconds=1))
    with pytest.raises(Forbidden):
        OTHER.check(token, *SAID, NOW)
    for browser, person, subject in (("other", *SAID[1:]), (SAID[0], "x", SAID[2]), (*SAID[:2], "x")):
        with pytest.raises(Forbidden):
            TOKENS.check(token, browser, person, subject, NOW)


def test_what_is_said_cannot_move_from_one_part_to_another() -> None:
    token = TOKENS.make("ab", "c", "d", NOW)
    with pytest.raises(Forbidden):
        TOKENS.check(token, "a", "bc", "d", NOW)


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(Forbidden):
        TOKENS.check(text, *SAID, NOW)


@given(st.text(max_size=120))
def test_a_browser_is_known_by_our_cookie_only(cookies: str) -> None:
    made = TOKENS.browser(cookies, secure=True)
    assert len(made.id) == 32
    assert made.set_cookie is not None
    assert TOKENS.browser(made.set_cookie.partition(";")[0], secure=True).id == made.id
    assert TOKENS.browser(made.set_cookie.partition(";")[0], secure=False).id != made.id
