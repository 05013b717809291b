"""Waits between attempts: they grow up to a limit, honour what the system asked for, and end."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.retrying import FIRST_PAUSE, LONG_PAUSE, QUICK_PAUSE, pause, retry_delay
from kernel.durations import parse_duration
from kernel.errors import (
    Busy,
    InvalidData,
    RateLimited,
    Settling,
    SluiceError,
    SystemUnavailable,
    Transient,
    error_classes,
)
from workflows.model import Retry

POLICIES = st.builds(
    lambda attempts, first, factor, most: Retry.model_validate(
        {"attempts": attempts, "first": first, "factor": factor, "max": most}
    ),
    st.integers(1, 20),
    st.from_regex(r"[0-9]{1,5}[smhd]", fullmatch=True),
    st.floats(1, 10),
    st.from_regex(r"[0-9]{1,5}[smhd]", fullmatch=True),
)
TRANSIENT = Transient("Text.")


def test_waits_grow_by_the_factor_up_to_the_most() -> None:
    policy = Retry.model_validate({"attempts": 6, "first": "10s", "factor": 3, "max": "4m"})
    waits = [retry_delay(policy, attempt, TRANSIENT) for attempt in range(1, 7)]
    assert waits == [*(timedelta(seconds=seconds) for seconds in (10, 30, 90, 240, 240)), None]


def test_the_default_policy_is_two_more_attempts() -> None:
    waits = [retry_delay(Retry(), attempt, TRANSIENT) for attempt in (1, 2, 3)]
    assert waits == [timedelta(seconds=10), timedelta(seconds=20), None]


@settings(max_examples=150, deadline=None)
@given(POLICIES, st.integers(1, 25))
def test_a_wait_is_never_shorter_than_the_one_before_nor_longer_than_the_most(
    policy: Retry, attempt: int
) -> None:
    wait, following = (retry_delay(policy, number, TRANSIENT) for number in (attempt, attempt + 1))
    assert (wait is None) is (attempt >= policy.attempts)
    if wait is not None:
        assert timedelta(0) <= wait <= parse_duration(policy.max)
        assert following is None or following >= wait


@settings(max_examples=80, deadline=None)
@given(POLICIES, st.integers(1, 19), st.floats(0, 10**6))
def test_what_the_system_asked_for_is_the_least(policy: Retry, attempt: int, asked: float) -> None:
    plain = retry_delay(policy, attempt, TRANSIENT)
    told = retry_delay(policy, attempt, RateLimited("Text.", retry_after=asked))
    if plain is None:
        assert told is None
    else:
        assert told == max(plain, timedelta(seconds=asked))


def test_the_system_may_ask_for_more_than_the_most() -> None:
    policy = Retry.model_validate({"max": "1m"})
    assert retry_delay(policy, 1, SystemUnavailable("Text.", retry_after=3600)) == timedelta(hours=1)


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_only_transient_errors_are_tried_again(kind: type[SluiceError]) -> None:
    assert (retry_delay(Retry(), 1, kind("Text.")) is not None) is kind.transient


@pytest.mark.parametrize("attempts", [1, 2, 20])
def test_attempts_count_the_first(attempts: int) -> None:
    policy = Retry.model_validate({"attempts": attempts})
    given_up = [attempt for attempt in range(1, 25) if retry_delay(policy, attempt, TRANSIENT) is None]
    assert given_up == list(range(attempts, 25))


def test_an_asked_wait_does_not_make_other_errors_worth_it() -> None:
    assert retry_delay(Retry(), 1, InvalidData("Text.", retry_after=5)) is None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.floats(0, 1), st.none() | st.floats(0.001, 10**5))
def test_a_pause_is_what_was_asked_for_or_soon_two_seconds_and_after_many_ten(
    pauses: int, spread: float, asked: float | None
) -> None:
    seconds = pause(Settling("Text.", retry_after=asked), pauses, spread).total_seconds()
    assert seconds >= (asked or FIRST_PAUSE) - 1e-6
    assert seconds <= max(asked or 0, QUICK_PAUSE if pauses <= 20 else LONG_PAUSE) + 1e-6
    assert seconds <= pause(Settling("Text.", retry_after=asked), pauses + 1, spread).total_seconds()


def test_pauses_double_up_to_two_seconds_and_differ_by_half() -> None:
    shortest = [pause(Busy("Text."), pauses, 0).total_seconds() for pauses in (0, 1, 2, 3, 20, 50, 5_000)]
    longest = [pause(Busy("Text."), pauses, 1).total_seconds() for pauses in (0, 1, 2, 3, 20, 50, 5_000)]
    assert shortest == [0.2, 0.4, 0.8, 1, 1, 2.5, 5]
    assert longest == [0.4, 0.8, 1.6, 2, 2, 5, 10]
