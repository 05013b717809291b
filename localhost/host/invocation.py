"""Invoking a function: ids, durable clients, trace context, and what is logged about it."""

import logging
import secrets
import time
import uuid
from collections.abc import Callable

from azure.functions.meta import Datum

from localhost.host.functions import Binding, Function
from localhost.host.runtime import Attempt, Result, Trace, WorkerRuntime

logger = logging.getLogger("host.function")

ClientConfiguration = Callable[[Binding], str]


class Invoker:
    """Invokes functions of the app on behalf of every kind of trigger."""

    def __init__(self, runtime: WorkerRuntime, client_configuration: ClientConfiguration) -> None:
        self._runtime = runtime
        self._client_configuration = client_configuration
        self._clients: dict[str, list[tuple[str, Datum]]] = {}

    async def invoke(
        self,
        function: Function,
        trigger: Datum,
        *,
        trace: Trace | None = None,
        attempt: Attempt | None = None,
    ) -> Result:
        """Run `function` with `trigger` as the value of its trigger; failures are logged with their trace."""
        invocation_id, started = str(uuid.uuid4()), time.perf_counter()
        verbose = logger.isEnabledFor(logging.DEBUG)
        if verbose:
            logger.debug("Executing 'Functions.%s' (Id=%s)", function.name, invocation_id)
        result = await self._runtime.invoke(
            function,
            invocation_id,
            [(function.trigger.name, trigger), *self._client_inputs(function)],
            trace or new_trace(),
            attempt or Attempt(),
        )
        duration = (time.perf_counter() - started) * 1000
        if not result.ok:
            message = "Executed 'Functions.%s' (Failed, Id=%s, Duration=%.0fms)\n%s"
            logger.error(message, function.name, invocation_id, duration, result.trace or result.error_text)
        elif verbose:
            message = "Executed 'Functions.%s' (Succeeded, Id=%s, Duration=%.0fms)"
            logger.debug(message, function.name, invocation_id, duration)
        return result

    def _client_inputs(self, function: Function) -> list[tuple[str, Datum]]:
        known = self._clients.get(function.id)
        if known is None:
            known = [
                (binding.name, Datum(self._client_configuration(binding), "string"))
                for binding in function.clients
            ]
            self._clients[function.id] = known
        return known


def new_trace() -> Trace:
    """A trace context for an invocation that nobody's trace has caused."""
    return Trace(f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00")


def child_trace(parent: str, state: str) -> Trace:
    """The trace context of an invocation caused by `parent`; a new trace if that is not valid."""
    parts = parent.split("-")
    if len(parts) != 4 or [len(part) for part in parts] != [2, 32, 16, 2]:
        return new_trace()
    return Trace(f"{parts[0]}-{parts[1]}-{secrets.token_hex(8)}-{parts[3]}", state)
