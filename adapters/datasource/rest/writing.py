"""PUSH: each record at most once, one result per record, or an error that says what is known.

A refused batch is divided until the refused records stand alone; a refusal proves that nothing of the
request was written. Where an answer does not tell what became of a record, the outcome is in doubt.
"""

import time
from collections.abc import Mapping, Sequence

from adapters.contract import Idempotency, Outgoing, PushResult, PushStatus
from adapters.datasource.rest.answers import NoResult, results
from adapters.datasource.rest.bodies import Ready, body, ready
from adapters.datasource.rest.catalogue import CALLS, KEY
from adapters.datasource.rest.failures import CONFLICTS, REFUSALS
from adapters.datasource.rest.finding import Finder
from adapters.datasource.rest.http import Http
from adapters.datasource.rest.operations import PushSpec
from adapters.datasource.rest.requests import address
from adapters.datasource.rest.transport import Answer, Call
from kernel.errors import ExternalError, InDoubt, InvalidRequest, Transient
from kernel.records import Value
from kernel.timestamps import Unfit

_NO_REASON = "The system refused the record and the connector's settings do not say where it gives a reason."


def push(
    http: Http, spec: PushSpec, values: Mapping[str, Value], batch: Sequence[Outgoing]
) -> list[PushResult]:
    """One result per record, in order."""
    keys = {spec.sent_key(outgoing.key) for outgoing in batch}
    if len(keys) < len(batch):
        raise InvalidRequest(
            "Two records of a batch have the same key, or the same after it is cut to length."
        )
    writer = _Writer(http, spec, values)
    writer.push(batch)
    return [writer.results[outgoing.key] for outgoing in batch]


def find_posted(
    http: Http, spec: PushSpec, values: Mapping[str, Value], keys: Sequence[str]
) -> dict[str, str]:
    """External ids by idempotency key, for those records that the system has."""
    if spec.find is None:
        raise InvalidRequest("The operation does not say how its records are found; describe it with find.")
    finder = Finder(http, spec, spec.find, values)
    found = {key: finder.record(spec.sent_key(key)) for key in keys}
    return {key: finder.external_id(item) for key, item in found.items() if item is not None}


class _Writer:
    """Settles the records of one batch; `results` are by key."""

    def __init__(self, http: Http, spec: PushSpec, values: Mapping[str, Value]) -> None:
        self.results: dict[str, PushResult] = {}
        self._http = http
        self._spec = spec
        self._values = values
        self._finder = Finder(http, spec, spec.find, values) if spec.find else None
        self._latest = time.monotonic() + (CALLS - 1) * http.settings.timeout

    def push(self, batch: Sequence[Outgoing]) -> None:
        """Settle every record. Raises `InDoubt` instead of any other error once something was written."""
        records = self._fitting(batch)
        if self._spec.looks_first:
            records = self._missing(records)
        try:
            if records:
                self._send(records)
        except InDoubt:
            raise
        except ExternalError as exc:
            if not any(result.status is PushStatus.WRITTEN for result in self.results.values()):
                raise
            raise InDoubt(
                f"A part of the batch was written, then this happened: {exc.message}",
                retry_after=exc.retry_after,
            ) from exc

    def _fitting(self, batch: Sequence[Outgoing]) -> list[Ready]:
        fitting = []
        for outgoing in batch:
            try:
                fitting.append(ready(self._spec, outgoing))
            except Unfit as exc:
                self._reject(outgoing.key, f"{exc.message}.{f' {exc.hint}' if exc.hint else ''}")
        return fitting

    def _missing(self, records: Sequence[Ready]) -> list[Ready]:
        """Settle the records that the system has already; the others are left."""
        assert self._finder is not None
        left = []
        for record in records:
            item = self._finder.record(record.sent_key)
            if item is None:
                left.append(record)
            else:
                self.results[record.key] = self._finder.compared(record, item)
        return left

    def _send(self, records: Sequence[Ready]) -> None:
        self._check_time()
        call = self._call(records)
        answer = self._http.write(call)
        if answer.ok:
            self._accepted(records, call, answer)
            return
        told = self._http.told(answer)
        if answer.status in REFUSALS and not told.transient:
            self._refused(records, told.text)
        elif answer.status in CONFLICTS and not told.transient:
            self._conflicting(records, call, answer)
        else:
            raise self._http.failure(answer, call, _any_values(records))

    def _check_time(self) -> None:
        """Another execution looks for the records once this push must have taken effect, and sends what it
        does not find: a write that leaves later would be the second one."""
        if self._spec.idempotency is Idempotency.LOOKUP and time.monotonic() > self._latest:
            raise Transient(
                f"Looking up the records of a batch at {self._http.settings.origin} took too long to write "
                "them afterwards. Lower batch_size, or raise timeout."
            )

    def _accepted(self, records: Sequence[Ready], call: Call, answer: Answer) -> None:
        needed = not self._spec.answer.tells_nothing or self._http.settings.errors is not None
        data = self._http.data(answer, call) if needed else None
        said = self._http.complaint(data)
        if said is None:
            self._settle(records, call, answer, data)
        elif said.transient:
            told = self._http.fit(said.text, _any_values(records))
            raise Transient(f"{self._http.what(call)} was answered with an error that passes: {told}")
        else:
            self._refused(records, said.text)

    def _settle(self, records: Sequence[Ready], call: Call, answer: Answer, data: object) -> None:
        try:
            found = results(self._spec, records, answer, data)
        except NoResult as exc:
            raise InDoubt(
                f"{self._http.what(call)} was answered with success, but {exc}. Whether all records were "
                "written is unknown; look them up in the system."
            ) from exc
        for record, result in zip(records, found, strict=True):
            if result.status is PushStatus.REJECTED:
                self._reject(record.key, self._http.fit(result.reason, record.values))
            else:
                self.results[record.key] = result

    def _refused(self, records: Sequence[Ready], text: str) -> None:
        if len(records) == 1:
            self._reject(records[0].key, self._http.fit(text, records[0].values))
            return
        middle = len(records) // 2
        self._send(records[:middle])
        self._send(records[middle:])

    def _conflicting(self, records: Sequence[Ready], call: Call, answer: Answer) -> None:
        """The system has something under a key, or another request with that key is on its way."""
        left = self._missing(records) if self._finder else list(records)
        if not left:
            return
        if self._spec.idempotency is Idempotency.NATIVE:
            message = self._http.failure(answer, call, _any_values(records)).message
            raise InDoubt(f"{message} The request may still be worked on; send it again with the same key.")
        if len(left) < len(records):
            self._send(left)
        else:
            self._refused(left, self._http.told(answer).text)

    def _reject(self, key: str, reason: str) -> None:
        self.results[key] = PushResult(key, PushStatus.REJECTED, reason=reason or _NO_REASON)

    def _call(self, records: Sequence[Ready]) -> Call:
        spec, first = self._spec, records[0].sent_key
        query = {spec.key.parameter: first} if spec.key and spec.key.parameter else {}
        url = address(self._http.settings, spec.push, spec.query, {**self._values, KEY: first}, query)
        headers = {"Content-Type": "application/json"}
        if spec.key and spec.key.header:
            headers[spec.key.header] = first
        return Call(spec.method, url, spec.push, body(spec, records), headers, writes=True)


def _any_values(records: Sequence[Ready]) -> dict[str, Value]:
    """Values of the records, for taking them out of error texts; the names tell the records apart."""
    return {
        f"{name} of record {index}" if len(records) > 1 else name: value
        for index, record in enumerate(records, start=1)
        for name, value in record.values.items()
    }
