"""The only place that touches the inside of `azure_functions_runtime` (Microsoft's worker runtime).

The runtime decodes inputs, checks types, builds contexts and output parameters, and runs sync functions on
its thread pool, so that an app behaves here as in Azure. Its native entry has no public interface; the
names below are those of version 1.3.0, which pyproject.toml pins; `tests/host/test_runtime.py` checks them.
The runtime keeps its registry in module globals: one process can host one app.
"""

import concurrent.futures.thread
import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import azure_functions_runtime.handle_event as runtime_state  # type: ignore[import-untyped]
from azure.functions.meta import Datum
from azure_functions_runtime import (
    get_threadpool_executor,
    invocation_id_cv,
    start_threadpool_executor,
    stop_threadpool_executor,
)
from azure_functions_runtime.bindings.meta import load_binding_registry  # type: ignore[import-untyped]
from azure_functions_runtime.native_invocation import (  # type: ignore[import-untyped]
    invocation_request_native,
)

from localhost.host.errors import LoadError
from localhost.host.functions import Binding, Function, Retry

# What the runtime reads of the worker protocol's BindingInfo when no protocol buffers are involved.
_PROTOS = SimpleNamespace(BindingInfo=SimpleNamespace(undefined=0, out=1, inout=2))


_STREAMING = "azurefunctions.extensions.http.fastapi"
_NOT_THE_APP = (
    "<frozen importlib",
    __file__,
    importlib.__file__,
    concurrent.futures.thread.__file__,
    str(Path(runtime_state.__file__).parent),
)


@dataclass(frozen=True)
class Attempt:
    """Which try of an invocation this is, for `context.retry_context`."""

    number: int = 0
    most: int = 0
    error: BaseException | None = None


@dataclass(frozen=True)
class Trace:
    """W3C trace context of the caller."""

    parent: str = ""
    state: str = ""


@dataclass(frozen=True)
class Result:
    """How an invocation ended. `error` is what the function raised, if it was an exception of its own."""

    ok: bool
    returned: Datum | None = None
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    error: Exception | None = None
    error_text: str = ""
    trace: str = ""


class WorkerRuntime:
    """The loaded app: indexes functions and invokes them on the running loop or the thread pool."""

    def __init__(self) -> None:
        self._raised: dict[str, Exception] = {}
        self._app: func.FunctionRegister | None = None

    def start(self) -> None:
        """Prepare binding converters and the thread pool (size: PYTHON_THREADPOOL_THREAD_COUNT)."""
        logging.getLogger("azure.functions").addFilter(_not_already_reported)
        load_binding_registry()
        start_threadpool_executor()

    def stop(self) -> None:
        """Wait for sync functions that still run, then drop the pool."""
        stop_threadpool_executor()

    @property
    def threads(self) -> int:
        """Size of the pool on which sync functions run."""
        pool = get_threadpool_executor()
        return pool._max_workers if pool else 0

    def load(self, module_name: str) -> list[Function]:
        """Import the app's module and index the functions of its one function app.

        Raises LoadError, with the app's own traceback, if the import, the indexing or a decorator fails.
        """
        app = self._app = _find_app(module_name, _import_app(module_name))
        if _STREAMING in sys.modules:
            raise LoadError(
                f"The app uses {_STREAMING}, which this host does not serve. Use func.HttpRequest and "
                "func.HttpResponse, or Core Tools."
            )
        try:
            return [self._index(function) for function in app.get_functions()]
        except Exception as exc:
            raise LoadError(f"The functions of {module_name}.py cannot be indexed: {exc}") from exc

    def _index(self, function: Any) -> Function:
        registry = runtime_state._functions
        info = registry.add_indexed_function(function=function, protos=_PROTOS)
        cast(Any, registry)._functions[info.function_id] = info._replace(
            func=self._recorded(info.func, info.is_async)
        )
        bindings = [Binding.from_json(text) for text in function.get_raw_bindings()]
        position = function.get_bindings().index(function.get_trigger())
        return Function(
            id=info.function_id,
            name=info.name,
            trigger=bindings[position],
            bindings=tuple(bindings),
            retry=_retry(function.get_settings_dict("retry_policy")),
        )

    def _recorded(self, function: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
        """`function`, keeping what it raises: the runtime itself hands on only the exception's repr."""

        @wraps(function)
        async def run_async(**arguments: Any) -> Any:
            try:
                return await function(**arguments)
            except Exception as exc:
                self._raised[cast(str, invocation_id_cv.get())] = exc
                raise

        @wraps(function)
        def run(**arguments: Any) -> Any:
            try:
                return function(**arguments)
            except Exception as exc:
                self._raised[cast(str, invocation_id_cv.get())] = exc
                raise

        return run_async if is_async else run

    async def end_app(self) -> None:
        """Tell an ASGI app that it ends, on the loop on which it was started."""
        if isinstance(self._app, func.AsgiFunctionApp) and self._app.startup_task_done:
            # Otherwise it would do the same when it is collected, on a loop that no longer runs.
            self._app.startup_task_done = False
            await self._app.middleware.notify_shutdown()  # type: ignore[no-untyped-call]

    async def invoke(
        self,
        function: Function,
        invocation_id: str,
        inputs: Sequence[tuple[str, Datum]],
        trace: Trace,
        attempt: Attempt,
    ) -> Result:
        """Run a function once. Never raises for what the function does; see `Result`."""
        ok, returned, outputs, text, stack = await invocation_request_native(
            invocation_id,
            function.id,
            inputs,
            {},
            trace.parent,
            trace.state,
            attempt.number,
            attempt.most,
            attempt.error,
        )
        error = self._raised.pop(invocation_id, None)
        # Without an error of its own it failed at its edges; only the last line of the trace tells why.
        trace_text = app_trace(error) if error else (stack or "").strip().rpartition("\n")[2]
        return Result(ok, returned, dict(outputs), error, text or "", trace_text)


def _not_already_reported(record: logging.LogRecord) -> bool:
    # The host logs failed invocations itself, with function name and duration.
    return record.msg != "Native invocation failed"


def _import_app(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name == module_name:
            raise LoadError(
                f"There is no {module_name}.py in the function app folder. This host runs apps of the v2 "
                "programming model; name the folder with --script-root."
            ) from exc
        raise LoadError(
            f"The app imports {exc.name!r}, which is not installed. Install the app's requirements first.",
            trace=app_trace(exc),
        ) from exc
    except Exception as exc:
        raise LoadError(
            f"{module_name}.py failed to load: {type(exc).__name__}: {exc}", trace=app_trace(exc)
        ) from exc


def _find_app(module_name: str, module: Any) -> func.FunctionRegister:
    found = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(found) != 1:
        count = "no function app" if not found else f"{len(found)} function apps"
        raise LoadError(
            f"{module_name}.py defines {count} at top level. It needs exactly one, for example "
            "`app = func.FunctionApp()`."
        )
    return found.popitem()[1]


def _retry(settings: Mapping[str, Any] | None) -> Retry | None:
    if settings is None:
        return None
    return Retry(
        strategy=str(settings["strategy"]),
        max_retry_count=int(settings["max_retry_count"]),
        delay_interval=settings.get("delay_interval"),
        minimum_interval=settings.get("minimum_interval"),
        maximum_interval=settings.get("maximum_interval"),
    )


def app_trace(exc: BaseException) -> str:
    """The traceback without the frames of the worker runtime, of this host and of the import system."""
    frames = traceback.TracebackException.from_exception(exc)
    frames.stack = traceback.StackSummary.from_list(
        [frame for frame in frames.stack if not frame.filename.startswith(_NOT_THE_APP)]
    )
    return "".join(frames.format()).strip()
