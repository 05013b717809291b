"""Calls that go together: everybody gets the own answer, and nobody waits for slow ones."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from activities.companions import Companions
from tests.support.eventually import eventually

THREADS = 8


class Work:
    """Answers each request with itself; the first group waits until the test lets it go."""

    def __init__(self, own_seconds: float = 0.0) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self._own_seconds = own_seconds

    def __call__(self, requests: Sequence[int]) -> tuple[Sequence[int], float]:
        self.groups.append(list(requests))
        assert self.go.wait(10)
        return [-request for request in requests], self._own_seconds * len(requests)


def test_calls_that_come_meanwhile_go_together() -> None:
    companions: Companions[int, int] = Companions()
    work = Work()
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(companions.run, "key", 1, work)
        eventually(lambda: work.groups == [[1]], what="the calls wait")
        others = [threads.submit(companions.run, "key", number, work) for number in range(2, THREADS + 1)]
        eventually(lambda: len(companions._lines["key"].waiting) == THREADS - 1, what="the calls wait")
        work.go.set()
        assert first.result() == -1
        assert [other.result() for other in others] == [-number for number in range(2, THREADS + 1)]
    assert [sorted(group) for group in work.groups] == [[1], list(range(2, THREADS + 1))]


def test_calls_of_other_keys_do_not_wait() -> None:
    companions: Companions[int, int] = Companions()
    slow, quick = Work(), Work()
    quick.go.set()
    with ThreadPoolExecutor(THREADS) as threads:
        waiting = threads.submit(companions.run, "a", 1, slow)
        eventually(lambda: slow.groups == [[1]], what="the calls wait")
        assert companions.run("b", 2, quick) == -2
        slow.go.set()
        assert waiting.result() == -1


def test_where_each_takes_its_own_time_each_goes_by_itself() -> None:
    companions: Companions[int, int] = Companions()
    work = Work(own_seconds=1.0)
    work.go.set()
    companions.run("key", 0, work)
    work.go.clear()
    with ThreadPoolExecutor(THREADS) as threads:
        calls = [threads.submit(companions.run, "key", number, work) for number in range(1, 4)]
        eventually(lambda: len(work.groups) == 4, what="the calls wait")
        work.go.set()
        assert sorted(call.result() for call in calls) == [-3, -2, -1]
    assert all(len(group) == 1 for group in work.groups)


def test_what_is_raised_reaches_everybody_and_the_next_go_on() -> None:
    companions: Companions[int, int] = Companions()
    hold = threading.Event()

    def fails(requests: Sequence[int]) -> tuple[Sequence[int], float]:
        assert hold.wait(10)
        if 2 in requests:
            raise ValueError("broken")
        return list(requests), 0.0

    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(companions.run, "key", 1, fails)
        eventually(
            lambda: "key" in companions._lines and companions._lines["key"].busy, what="the calls wait"
        )
        others = [threads.submit(companions.run, "key", number, fails) for number in (2, 3)]
        eventually(lambda: len(companions._lines["key"].waiting) == 2, what="the calls wait")
        hold.set()
        assert first.result() == 1
        for other in others:
            with pytest.raises(ValueError, match="broken"):
                other.result()
    assert companions.run("key", 5, fails) == 5


def test_thousands_of_calls_get_their_own_answers() -> None:
    companions: Companions[int, int] = Companions()

    def double(requests: Sequence[int]) -> tuple[Sequence[int], float]:
        return [2 * request for request in requests], 0.0

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda number: companions.run(number % 3, number, double), range(5_000)))
    assert answers == [2 * number for number in range(5_000)]
