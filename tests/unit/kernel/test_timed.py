"""Answers that are good for a while."""

import pytest

from kernel.timed import TimedCache


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_made_once_until_its_time_is_over() -> None:
    clock, made = Clock(), []
    cache: TimedCache[str, int] = TimedCache(10, monotonic=clock)

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cache.get("a", make), cache.get("a", make), cache.get("b", make)] == [1, 1, 2]
    clock.now += 9.9
    assert cache.get("a", make) == 1
    clock.now += 0.1
    assert cache.get("a", make) == 3


def test_the_oldest_goes_first() -> None:
    cache: TimedCache[int, int] = TimedCache(10, most=2)
    for number in (1, 2, 3):
        cache.get(number, lambda: 0)
    assert [cache.get(number, lambda: 1) for number in (3, 2, 1)] == [0, 0, 1]


def test_failures_are_not_remembered() -> None:
    cache: TimedCache[str, None] = TimedCache(10)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get("a", lambda: 1 // 0)  # type: ignore[arg-type]
    assert cache.get("a", lambda: None) is None
