"""The connector page's test: does the system answer, does it let us in, do the reads work?"""

from adapters.contract import CheckResult
from adapters.datasource.rest import reading
from adapters.datasource.rest.http import Http
from adapters.datasource.rest.operations import FetchSpec, OperationSpec, PushSpec
from adapters.datasource.rest.transport import Call
from kernel.errors import SluiceError

_FINE = "ok"
_SIGN_IN_STATUSES = frozenset({401, 403})


def check(http: Http) -> CheckResult:
    """Reads the `check` path, or the base address, and the first page of every FETCH without parameters."""
    settings = http.settings
    try:
        _reach(http)
    except SluiceError as exc:
        return CheckResult(ok=False, detail=exc.message)
    checks = {name: _attempt(http, name, spec) for name, spec in settings.operations.items()}
    bad = [name for name, spec in settings.operations.items() if _is_tried(spec) and checks[name] != _FINE]
    if bad:
        return CheckResult(
            False, f"The system at {settings.origin} answers, but not for {', '.join(bad)}.", checks
        )
    return CheckResult(True, f"The system at {settings.origin} answers.", checks)


def _reach(http: Http) -> None:
    path = http.settings.check
    call = Call("GET", f"{http.settings.base_url}{path or ''}", path or "the base address")
    if path is not None:
        http.read(call)
        return
    # Few systems have anything at their base address: any answer shows that somebody is there.
    answer = http.reach(call)
    if answer.status in _SIGN_IN_STATUSES or answer.status >= 500:
        raise http.failure(answer, call)


def _is_tried(spec: OperationSpec) -> bool:
    return isinstance(spec, FetchSpec) and not spec.parameters


def _attempt(http: Http, name: str, spec: OperationSpec) -> str:
    if isinstance(spec, PushSpec):
        return "not tried: it would write"
    if not isinstance(spec, FetchSpec) or spec.parameters:
        return "not tried: it needs parameters"
    try:
        next(reading.fetch(http, name, spec, {}))
    except SluiceError as exc:
        return exc.message
    return _FINE
