"""The hub dies at named points and goes on where it was: nothing is lost, nothing is done twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from localhost.taskhub.clients import Clients, finished
from localhost.taskhub.errors import InstanceExists
from localhost.taskhub.starts import NewInstance
from tests.support.sdk_dispatcher import SdkDispatcher
from tests.taskhub import workload
from tests.taskhub.crashes import POINTS, Fate, Lives, random_fate

REPOSITORY = Path(__file__).resolve().parents[2]


class User:
    """A client that goes on where it was: what was acknowledged it never repeats."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.started = False
        self.sent = 0
        self.output: dict[str, object] | None = None

    async def act(self, clients: Clients) -> None:
        """Start the workload, send its events, wait for its end."""
        if not self.started:
            with suppress(InstanceExists):  # it may have been started, and only the answer lost
                await clients.start(NewInstance(id=self.instance_id, name="whole"), frozenset())
            self.started = True
        while self.sent < workload.EVENTS:
            await clients.raise_event(self.instance_id, "number", str(self.sent))
            self.sent += 1
        ended = await clients.wait(self.instance_id, finished)
        assert ended is not None, "a started instance is lost"
        self.output = json.loads(ended[0].output.value or "null")


async def _through_lives(url: str, name: str, choice: random.Random, fates: list[Fate]) -> Counter[str]:
    """Run the workload through these fates, and on random ones after them, to its end; the deaths."""
    ran: Counter[str] = Counter()
    dispatcher = SdkDispatcher()
    workload.register(dispatcher, workload.Effects(lambda step: ran.update([step])))
    lives = await Lives.open(url, name, dispatcher)
    user = User("w")
    try:
        for fate in fates:
            if await lives.live(fate, user.act):
                break
        while user.output is None:
            await lives.live(random_fate(choice), user.act)
        assert user.output == workload.EXPECTED
        await _check(lives, ran)
    finally:
        await lives.close()
    return lives.deaths


async def _check(lives: Lives, ran: Counter[str]) -> None:
    steps = {f"w:{child:04x}#{step}" for child in range(1, workload.CHILDREN + 1) for step in (1, 3)}
    steps.add(f"w:{workload.CHILDREN + 1:04x}#1")
    assert set(ran) == steps
    histories = ["w", *(f"w:{child:04x}" for child in range(1, workload.CHILDREN + 2))]

    async def look(clients: Clients) -> None:
        for instance_id in histories:
            workload.check_history(await clients.history(instance_id))

    assert await lives.live(Fate("never", 1), look)


@pytest.mark.parametrize("point", POINTS)
def test_death_at_every_pass_of_a_point(hub_url: str, hub_name: str, point: str) -> None:
    """The first life ends at the n-th pass, for every n until a life gets through."""

    async def scenario() -> None:
        choice = random.Random(point)  # noqa: S311 - repeatable
        for passes in range(1, 1000):
            name = f"{hub_name}-{passes}"
            deaths = await _through_lives(hub_url, name, choice, [Fate(point, passes), Fate("never", 1)])
            if not deaths:
                assert passes > 5
                return

    asyncio.run(scenario())


@pytest.mark.timeout(1800)
def test_deaths_at_random(hub_url: str, hub_name: str, soak: Callable[[int, int], int]) -> None:
    """Life after life at random points, until there have been enough."""

    async def scenario() -> None:
        choice = random.Random(1)  # noqa: S311 - repeatable
        deaths: Counter[str] = Counter()
        number = 0
        while deaths.total() < soak(300, 20_000):
            number += 1
            deaths += await _through_lives(hub_url, f"{hub_name}-{number}", choice, [])
        assert set(deaths) == set(POINTS)
        print(f"{deaths.total():,} deaths in {number:,} hubs, nothing lost or done twice: {dict(deaths)}")

    asyncio.run(scenario())


@pytest.mark.timeout(1800)
def test_kill_9(hub_url: str, hub_name: str, tmp_path: Path, soak: Callable[[int, int], int]) -> None:
    """The same in a process of its own that is killed for good."""
    choice = random.Random(2)  # noqa: S311 - repeatable
    kills: Counter[str] = Counter()
    number = 0
    while kills.total() < soak(12, 200):
        number += 1
        effects = tmp_path / f"effects{number}"
        arguments = [hub_url, f"{hub_name}-{number}", str(effects)]
        while True:
            point, passes = choice.choice(POINTS), choice.randint(1, 8)
            code, output = _run_child([*arguments, point, str(passes)])
            if code == 0:
                break
            assert code == -signal.SIGKILL, output
            kills[point] += 1
        assert json.loads(output) == workload.EXPECTED
        assert len(set(effects.read_text().split())) == workload.CHILDREN * 2 + 1
    print(f"{kills.total()} times kill -9 in {number} hubs, nothing lost or done twice: {dict(kills)}")


def _run_child(arguments: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.taskhub.mortal", *arguments]
    environment = {**os.environ, "GRPC_VERBOSITY": "NONE"}
    child = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return child.returncode, child.stdout or child.stderr
