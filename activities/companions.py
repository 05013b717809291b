"""Calls for the same thing at the same moment share their work, as commits of a database do.

While one call is at work, those that come meanwhile wait, and then go together; when calls come one after the
other, each waits for a moment for more, as commits of a database may. That pays as long as most of their work
can be shared; where it turns out that each takes its own time, each goes by itself, so that nobody waits for
another's slow call.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

MOST = 50
"""Calls that go together."""
QUICK_SECONDS = 0.02
"""How long the part of a call that cannot be shared may take, so that others may wait for it."""
GATHER_SECONDS = 0.005
"""How long a call lets others come that go with it, when there were others just before."""
_JUST_SECONDS = 0.05
_WEIGHT = 0.3
_REMEMBERED = 64


type Together[Request, Answer] = Callable[[Sequence[Request]], tuple[Sequence[Answer], float]]


@dataclass
class _Ticket[Request, Answer]:
    """One call that waits: for its answer, or to lead the next ones."""

    request: Request
    ready: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: Answer | None = None
    error: BaseException | None = None


@dataclass
class _Line[Request, Answer]:
    """Those who wait for the same thing, whether someone is at work, how long the own part of a call was
    lately, in seconds, and the monotonic time at which the last ones were done."""

    waiting: list[_Ticket[Request, Answer]] = field(default_factory=list)
    busy: bool = False
    own: float = 0.0
    done_at: float = float("-inf")


class Companions[Request, Answer]:
    """Lets calls from many threads go together. `together` answers several requests in their order, and says
    how many seconds of that could not be shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: OrderedDict[Hashable, _Line[Request, Answer]] = OrderedDict()

    def run(self, key: Hashable, request: Request, together: Together[Request, Answer]) -> Answer:
        """The answer to a request, alone or with others of the key. What `together` raises, all raise."""
        ticket: _Ticket[Request, Answer] = _Ticket(request)
        with self._lock:
            line = self._line(key)
            by_itself = line.own > QUICK_SECONDS
            if not by_itself:
                line.waiting.append(ticket)
                ticket.leads = not line.busy
                line.busy = True
        if by_itself:
            return self._measured(line, [request], together)[0]
        if not ticket.leads:
            ticket.ready.wait()
        if ticket.leads:
            self._lead(line, together)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer  # type: ignore[return-value]  # a leader has answered all that it took

    def _line(self, key: Hashable) -> _Line[Request, Answer]:
        line = self._lines.setdefault(key, _Line())
        self._lines.move_to_end(key)
        while len(self._lines) > _REMEMBERED:
            self._lines.popitem(last=False)
        return line

    def _lead(self, line: _Line[Request, Answer], together: Together[Request, Answer]) -> None:
        if time.monotonic() - line.done_at < _JUST_SECONDS:
            time.sleep(GATHER_SECONDS)
        with self._lock:
            taken, line.waiting = line.waiting[:MOST], line.waiting[MOST:]
        try:
            answers = self._measured(line, [ticket.request for ticket in taken], together)
            for ticket, answer in zip(taken, answers, strict=True):
                ticket.answer = answer
        except BaseException as exc:  # noqa: BLE001 - whoever waits must hear of it
            for ticket in taken:
                ticket.error = exc
        finally:
            self._hand_over(line)
            for ticket in taken:
                ticket.ready.set()

    def _hand_over(self, line: _Line[Request, Answer]) -> None:
        with self._lock:
            line.busy = bool(line.waiting)
            line.done_at = time.monotonic()
            if line.waiting:
                line.waiting[0].leads = True
                line.waiting[0].ready.set()

    def _measured(
        self, line: _Line[Request, Answer], requests: Sequence[Request], together: Together[Request, Answer]
    ) -> Sequence[Answer]:
        answers, seconds = together(requests)
        line.own += _WEIGHT * (seconds / len(requests) - line.own)
        return answers
