"""How long a token is used."""

from typing import Any

import pytest

from adapters.datasource.rest.auth import usable_seconds


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (3600, 3540),
        ("3600", 3540),
        (120, 60),
        (100, 50),
        (1, 0.5),
        (None, 240),
        (0, 240),
        (-5, 240),
        (True, 240),
        ("soon", 240),
    ],
)
def test_a_token_is_renewed_a_minute_before_it_expires_or_at_half_of_its_life(told: Any, used: float) -> None:
    assert usable_seconds(told) == used
