"""Timer triggers: each fires on its schedule, never twice at a time, and knows when it is past due."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from azure.functions.meta import Datum

from localhost.host.errors import LoadError, SettingsError
from localhost.host.functions import TIMER, Function, triggered_by
from localhost.host.invocation import Invoker
from localhost.host.retries import delay_before, retry_limit
from localhost.host.runtime import Attempt, Result
from localhost.host.schedule_status import ScheduleStatus, ScheduleStore
from localhost.host.schedules import Schedule, ScheduleError, parse_schedule
from localhost.host.settings import resolve

logger = logging.getLogger("host.timers")

# A longer wait would not notice that the clock was set or the machine slept.
_LONGEST_NAP = 30.0
_LOCK_RETRY_SECONDS = 1.0
# Azure keeps no status of timers that fire more often than this.
_SHORTEST_MONITORED = timedelta(minutes=1)

type Now = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Timer:
    """One timer function and its schedule. `monitored` timers keep their status across runs of the host."""

    function: Function
    schedule: Schedule
    run_on_startup: bool
    monitored: bool


def parse_timers(functions: Iterable[Function], environ: Mapping[str, str], now: datetime) -> list[Timer]:
    """The timers of an app. Raises LoadError naming the function whose schedule is wrong or never comes."""
    zone = _time_zone(environ)
    return [
        _parse_timer(function, environ, zone, now)
        for function in triggered_by(functions, TIMER)
        if not function.unsupported
    ]


def _parse_timer(function: Function, environ: Mapping[str, str], zone: tzinfo, now: datetime) -> Timer:
    properties = function.trigger.properties
    try:
        text = resolve(str(properties.get("schedule", "")), environ)
        schedule = parse_schedule(text, zone)
    except (ScheduleError, SettingsError) as exc:
        raise LoadError(f"Function {function.name}: the schedule is wrong. {exc}") from exc
    first = schedule.next_after(now)
    if first is None:
        raise LoadError(f"Function {function.name}: the schedule '{text}' names no day that exists.")
    second = schedule.next_after(first)
    frequent = second is not None and second - first < _SHORTEST_MONITORED
    return Timer(
        function,
        schedule,
        run_on_startup=bool(properties.get("runOnStartup")),
        monitored=properties.get("useMonitor") is not False and not frequent,
    )


def _time_zone(environ: Mapping[str, str]) -> tzinfo:
    name = environ.get("WEBSITE_TIME_ZONE", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise SettingsError(f"WEBSITE_TIME_ZONE is '{name}', which is not an IANA time zone.") from exc


class TimerService:
    """Fires the timers of an app while this host is the one that does so."""

    def __init__(
        self, timers: Iterable[Timer], invoker: Invoker, store: ScheduleStore, now: Now = _utc_now
    ) -> None:
        self._timers = list(timers)
        self._invoker = invoker
        self._store = store
        self._now = now
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Fire timers until `stop`; the ones that run then are waited for."""
        if not self._timers:
            return
        try:
            if await self._own():
                async with asyncio.TaskGroup() as group:
                    for timer in self._timers:
                        group.create_task(self._keep_firing(timer))
        finally:
            self._store.release()

    def stop(self) -> None:
        """Fire nothing more."""
        self._stopping.set()

    async def fire_now(self, function: Function) -> Result:
        """Run a timer function at once, outside its schedule."""
        return await self._invoke(function, _timer_info(None, None, past_due=False))

    async def _own(self) -> bool:
        told = False
        while not await self._store.acquire():
            if not told:
                logger.warning("Another host of this app fires its timers; this one stands by.")
                told = True
            await self._nap(_LOCK_RETRY_SECONDS)
            if self._stopping.is_set():
                return False
        return True

    async def _keep_firing(self, timer: Timer) -> None:
        now = self._now()
        status = await self._status_at_start(timer, now)
        past_due = status is not None and status.next < now
        if past_due:
            logger.info("Function '%s' is past due on startup. Executing now.", timer.function.name)
        if past_due or timer.run_on_startup:
            status = await self._fire(timer, status, now, past_due=past_due)
        while (due := await self._wait_for(timer)) is not None:
            status = await self._fire(timer, status, due, past_due=False)

    async def _status_at_start(self, timer: Timer, now: datetime) -> ScheduleStatus | None:
        """What the last run of the host left. A new or changed schedule counts from now."""
        if not timer.monitored:
            return None
        status = await self._store.read(timer.function.name)
        if status is None or _was_changed(timer.schedule, status):
            following = timer.schedule.next_after(now)
            status = ScheduleStatus(status.last if status else None, following or now, now)
            await self._store.write(timer.function.name, status)
        return status

    async def _wait_for(self, timer: Timer) -> datetime | None:
        """Wait until the timer is due; None if the host stops or the schedule has ended."""
        due = timer.schedule.next_after(self._now())
        while due is not None and not self._stopping.is_set():
            remaining = (due - self._now()).total_seconds()
            if remaining <= 0:
                return due
            await self._nap(min(remaining, _LONGEST_NAP))
        return None

    async def _fire(
        self, timer: Timer, status: ScheduleStatus | None, due: datetime, *, past_due: bool
    ) -> ScheduleStatus | None:
        """Run the function; its status afterwards."""
        await self._invoke(timer.function, _timer_info(timer.schedule, status, past_due=past_due))
        if not timer.monitored:
            return None
        status = ScheduleStatus(due, timer.schedule.next_after(due) or due, due)
        await self._store.write(timer.function.name, status)
        return status

    async def _invoke(self, function: Function, info: str) -> Result:
        most = retry_limit(function.retry)
        attempt = Attempt(0, most)
        while True:
            result = await self._invoker.invoke(function, Datum(info, "json"), attempt=attempt)
            if result.ok or function.retry is None or self._stopping.is_set():
                return result
            if 0 <= most <= attempt.number:
                return result
            await self._nap(delay_before(function.retry, attempt.number + 1).total_seconds())
            attempt = Attempt(attempt.number + 1, most, result.error)

    async def _nap(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _was_changed(schedule: Schedule, status: ScheduleStatus) -> bool:
    return schedule.next_after(status.updated) != status.next


def _timer_info(schedule: Schedule | None, status: ScheduleStatus | None, *, past_due: bool) -> str:
    return json.dumps(
        {
            "Schedule": {"AdjustForDST": bool(schedule and schedule.follows_clock)},
            "ScheduleStatus": status.to_dict() if status else None,
            "IsPastDue": past_due,
        }
    )
