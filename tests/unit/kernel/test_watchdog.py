"""What takes too long is interrupted, and nothing else."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernel.watchdog import Watchdog
from tests.support.eventually import eventually


def test_what_is_overdue_is_interrupted_until_it_ends() -> None:
    watchdog, enough = Watchdog(0.2), threading.Event()
    calls: list[float] = []

    def interrupt() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            enough.set()

    started = time.monotonic()
    with watchdog.over(interrupt):
        assert enough.wait(timeout=10)
    assert calls[0] >= started + 0.2
    told, late = len(calls), threading.Event()
    with watchdog.over(late.set):
        assert late.wait(timeout=10)
    assert len(calls) == told


def test_what_ends_in_time_is_left_alone() -> None:
    watchdog = Watchdog(0.2)
    calls: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            with watchdog.over(lambda: calls.append(number)):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    late = threading.Event()
    with watchdog.over(late.set):
        assert late.wait(timeout=10)
    assert calls == []


def test_the_one_who_is_overdue_is_interrupted_beside_others() -> None:
    watchdog, late, calls = Watchdog(0.1), threading.Event(), list[int]()

    def short() -> None:
        while not late.is_set():
            with watchdog.over(lambda: calls.append(1)):
                pass

    with ThreadPoolExecutor(1) as pool:
        shorts = pool.submit(short)
        with watchdog.over(late.set):
            assert late.wait(timeout=10)
        shorts.result(timeout=10)
    assert calls == []


def test_a_block_that_fails_is_watched_no_longer() -> None:
    watchdog, calls = Watchdog(0.05), list[int]()
    with pytest.raises(KeyError), watchdog.over(lambda: calls.append(1)):
        raise KeyError
    late = threading.Event()
    with watchdog.over(late.set):
        assert late.wait(timeout=10)
    assert calls == []


def test_one_thread_watches_and_ends_when_there_is_nothing_to_watch() -> None:
    def watching() -> int:
        return sum(thread.name == "watchdog of a test" for thread in threading.enumerate())

    watchdog = Watchdog(0.1, "watchdog of a test")
    for _ in range(100):
        with watchdog.over(lambda: None):
            assert watching() == 1
    eventually(lambda: watching() == 0, what="the thread ends")
    with watchdog.over(lambda: None):
        assert watching() == 1
