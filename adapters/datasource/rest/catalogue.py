"""The operations that the connector settings describe. No I/O and no HTTP client."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.contract import Idempotency, Operation
from adapters.datasource.rest.operations import FetchSpec, LookupSpec, OperationSpec, PushSpec, Spec
from adapters.datasource.rest.settings import RestSettings
from adapters.datasource.rest.templates import placeholders
from adapters.faults import refused, validated
from adapters.parameters import declared_parameters
from kernel.errors import Fault
from kernel.records import Column, parse_columns
from kernel.verbs import Verb

_WHAT = "settings of a rest connector"
_OWN_HEADERS = frozenset(
    {"authorization", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
)
KEY = "key"
"""The placeholder for the idempotency key."""
CALLS = 3
"""Calls in a row that a push of one record can make: look, write, and look again after a conflict. After the
time of so many, others look for what was pushed, so that no write may leave later than one call before."""


def parsed_settings(settings: Mapping[str, Any]) -> RestSettings:
    """The settings. Raises `InvalidRequest` with all faults."""
    parsed = validated(RestSettings, settings, what=_WHAT)
    faults = [*_header_faults(parsed)]
    for name, spec in parsed.operations.items():
        path = f"operations.{name}"
        faults += _column_faults(path, spec)
        faults += _template_faults(path, spec)
        if isinstance(spec, PushSpec):
            faults += [fault for rule in _PUSH_RULES for fault in rule(path, spec)]
    if faults:
        raise refused(_WHAT, faults)
    return parsed


def operations(settings: RestSettings) -> dict[str, Operation]:
    """The catalogue."""
    return {name: _operation(name, spec, settings.timeout) for name, spec in settings.operations.items()}


def path_of(spec: OperationSpec) -> str:
    """The path that the operation calls."""
    if isinstance(spec, PushSpec):
        return spec.push
    return spec.fetch if isinstance(spec, FetchSpec) else spec.lookup


def _operation(name: str, spec: OperationSpec, timeout: float) -> Operation:
    columns = parse_columns(spec.columns)
    parameters = declared_parameters(name, parse_columns(spec.parameters))
    if isinstance(spec, PushSpec):
        return Operation(
            name=name,
            verb=Verb.PUSH,
            summary=f"Sends records to {spec.push}.",
            parameters=parameters,
            columns=_always(columns),
            idempotency=spec.idempotency,
            batch_size=spec.batch_size or 1,
            atomic=spec.atomic,
            settles_seconds=CALLS * timeout,
        )
    one = isinstance(spec, LookupSpec)
    return Operation(
        name=name,
        verb=Verb.LOOKUP if one else Verb.FETCH,
        summary=f"{'Looks up one record' if one else 'Reads the records'} at {path_of(spec)}.",
        parameters=parameters,
        columns=_always(columns),
    )


def _always(columns: tuple[Column, ...]) -> Callable[[Any], tuple[Column, ...]]:
    return lambda _parameters: columns


def _header_faults(settings: RestSettings) -> Iterator[Fault]:
    for name in settings.headers:
        if name.lower() in _OWN_HEADERS:
            yield Fault(
                "reserved_header",
                f"The adapter sets the header {name} itself.",
                f"headers.{name}",
                hint="Remove it; credentials belong in auth and the vault.",
            )


def _column_faults(path: str, spec: Spec) -> Iterator[Fault]:
    optional = getattr(spec, "optional", ())
    for setting, names in (("fields", spec.fields), ("optional", optional)):
        for name in names:
            if name not in spec.columns:
                yield Fault(
                    "unknown_column",
                    f"{setting} names {name!r}, which is none of the columns.",
                    f"{path}.{setting}.{name}",
                    hint=f"Use one of {', '.join(spec.columns)}.",
                )


def _template_faults(path: str, spec: OperationSpec) -> Iterator[Fault]:
    used = placeholders(path_of(spec)).union(*map(placeholders, spec.query.values()))
    if isinstance(spec, PushSpec):
        used -= {KEY} if spec.key and spec.key.path else set()
        if spec.find:
            used |= _used_by_find(spec) - {KEY}
    for name in sorted(used - set(spec.parameters)):
        yield Fault(
            "undeclared_parameter",
            f"The path or query uses {{{name}}}, which parameters does not declare.",
            path,
            hint=f"Declare it as parameters: {{{name}: text}}.",
        )
    for name in sorted(set(spec.parameters) - used):
        yield Fault(
            "unused_parameter",
            f"Parameter {name!r} is not used in the path or query.",
            f"{path}.parameters.{name}",
            hint=f"Use it as {{{name}}}, or remove it.",
        )


def _used_by_find(spec: PushSpec) -> set[str]:
    assert spec.find is not None
    return placeholders(spec.find.path).union(*map(placeholders, spec.find.query.values()))


def _key_faults(path: str, spec: PushSpec) -> Iterator[Fault]:
    if spec.key is None:
        if spec.idempotency is not Idempotency.NONE:
            yield Fault(
                "missing_key",
                f"Idempotency is {spec.idempotency}, but nothing says where a request carries our key.",
                f"{path}.key",
                hint="Name a header, a query parameter, a field or the path.",
            )
        return
    if spec.key.field is None and spec.batch_size is not None:
        # A batch that is sent again may have other records in it, and so would need another key.
        yield Fault(
            "key_of_batch",
            "The key belongs to one record, but a request carries a batch.",
            f"{path}.key",
            hint="Put the key into a field of each record, or send single records.",
        )
    if spec.key.path and KEY not in placeholders(spec.push):
        yield Fault(
            "missing_key", "The path has no {key}.", f"{path}.push", hint="Write {key} where it goes."
        )
    if spec.key.field in [spec.place_of(name) for name in spec.columns]:
        yield Fault("reserved_column", "The key's field is also a column's.", f"{path}.key.field")


def _find_faults(path: str, spec: PushSpec) -> Iterator[Fault]:
    if spec.find is None:
        if spec.looks_first:
            yield Fault(
                "missing_find",
                "Records must be looked up before they are written, but nothing says how to find them.",
                f"{path}.find",
                hint="Describe the search with find.",
            )
        return
    if KEY not in _used_by_find(spec):
        yield Fault("missing_key", "Neither path nor query of find has {key}.", f"{path}.find")
    exact = KEY in placeholders(spec.find.path) or spec.find.key or (spec.key and spec.key.field)
    if not exact:
        # Searches often match prefixes or ignore case.
        yield Fault(
            "inexact_find",
            "Nothing says where a record that was found carries our key.",
            f"{path}.find.key",
            hint="Name the place, so that it can be compared.",
        )


def _answer_faults(path: str, spec: PushSpec) -> Iterator[Fault]:
    batch = spec.batch_size is not None
    if spec.answer.results is not None and not batch:
        yield Fault("not_a_batch", "A single record has no list of results.", f"{path}.answer.results")
    if spec.answer.key is not None and spec.answer.results is None:
        yield Fault("not_a_batch", "Only results are told apart by key.", f"{path}.answer.key")
    if batch and not spec.atomic and spec.answer.results is None:
        yield Fault(
            "missing_results",
            "A batch that may be accepted in part needs a result for each record.",
            f"{path}.answer.results",
            hint="Say where the answer has them, or that the batch is atomic.",
        )
    if spec.atomic and not batch:
        yield Fault("not_a_batch", "A single record is no atomic batch.", f"{path}.atomic")


_PUSH_RULES: tuple[Callable[[str, PushSpec], Iterator[Fault]], ...] = (
    _key_faults,
    _find_faults,
    _answer_faults,
)
