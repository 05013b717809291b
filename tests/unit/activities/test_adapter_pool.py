"""Adapters are kept for those who can use them, and closed when nobody can."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from activities.adapter_pool import AdapterPool
from activities.hearing import Hearing
from adapters.contract import Adapter, CheckResult, Connector, Operation
from kernel.errors import (
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    InvalidRequest,
    SystemUnavailable,
    Unavailable,
)
from kernel.records import Record, Records
from tests.support.adapters import Vault
from tests.support.eventually import eventually

ERP = Connector("erp", "sql", {"host": "a"}, {"password": "erp-password"})
SECRET = "s3cret-4711"


class Scripted(Adapter):
    """An adapter that raises what it is told to, and knows who uses it."""

    settings_model = BaseModel

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector, Vault({"erp-password": SECRET}))
        self.error: BaseException | None = None
        self.users = 0
        self.open_pages = 0
        self.closed = 0

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """Nothing."""
        return {}

    def lookup(self, operation: str, parameters: Mapping[str, Any]) -> Record | None:
        """Sign in, and tell all about it if that is what goes wrong."""
        if self.error is not None and not isinstance(self.error, ExternalError):
            raise self.error
        secret = self.credentials.secret(self.connector.secrets["password"]).reveal()
        if self.error is not None:
            raise type(self.error)(f"Login {secret} failed for Ann.")
        return {"name": operation}

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages without end."""
        self.open_pages += 1
        try:
            while True:
                self.lookup(operation, parameters)
                yield Records(())
        finally:
            self.open_pages -= 1

    def check(self) -> CheckResult:
        """Always well."""
        return CheckResult(True, "")

    def close(self) -> None:
        """Only once, and not while somebody works with it."""
        assert not self.users
        self.closed += 1


class Shop:
    """A pool, and all the adapters that it had made."""

    def __init__(self, **limits: Any) -> None:
        self.made: list[Scripted] = []
        self.pool = AdapterPool(self._make, **limits)

    def _make(self, connector: Connector) -> Adapter:
        self.made.append(Scripted(connector))
        return self.made[-1]

    def use(
        self,
        connector: Connector = ERP,
        work: Callable[[Adapter], object] = lambda _: None,
        hearing: Hearing | None = None,
    ) -> Scripted:
        """One use; returns the adapter behind it."""
        with self.pool.lend(connector, hearing or Hearing()) as lent:
            used = next(one for one in self.made if one.credentials is lent.credentials)
            work(lent)
        return used


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.pool.close()
    assert [one.closed for one in made.made] == [1] * len(made.made)


def failing(error: BaseException) -> Callable[[Adapter], object]:
    """Work in whose course the adapter raises this."""

    def work(lent: Adapter) -> object:
        lent._adapter.error = error  # type: ignore[attr-defined]
        return lent.lookup("o", {})

    return work


def test_one_after_the_other_works_with_the_same_adapter(shop: Shop) -> None:
    used = [shop.use(work=lambda lent: lent.lookup("o", {})) for _ in range(5)]
    assert used == [shop.made[0]] * 5
    assert len(shop.made) == 1
    assert not shop.made[0].closed


def test_those_at_work_at_once_never_share(shop: Shop) -> None:
    def work(lent: Adapter) -> None:
        mine = lent._adapter  # type: ignore[attr-defined]
        mine.users += 1
        lent.lookup("o", {})
        assert mine.users == 1
        mine.users -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: shop.use(work=work), range(200)))
    assert len(shop.made) - sum(one.closed for one in shop.made) <= 4


@pytest.mark.parametrize(
    "other",
    [
        replace(ERP, settings={"host": "b"}),
        replace(ERP, secrets={"password": "other"}),
        replace(ERP, system="rest"),
        replace(ERP, environment="production"),
    ],
)
def test_other_settings_take_effect_at_once(shop: Shop, other: Connector) -> None:
    first = shop.use()
    second = shop.use(other)
    assert second is not first
    assert second.connector == other
    assert first.closed
    assert shop.use(other) is second


def test_each_connector_has_adapters_of_its_own(shop: Shop) -> None:
    other = replace(ERP, key="crm")
    assert shop.use(ERP) is not shop.use(other)
    assert [shop.use(ERP), shop.use(other)] == shop.made


@pytest.mark.parametrize(
    "error",
    [
        SystemUnavailable("x"),
        AuthenticationFailed("x"),
        InDoubt("x"),
        ExternalError("x"),
        RuntimeError("x"),
        SystemExit(),
    ],
)
@pytest.mark.parametrize("caught", [False, True])
def test_after_an_error_that_may_lie_in_its_connections_an_adapter_is_closed(
    shop: Shop, error: BaseException, caught: bool
) -> None:
    fails = failing(error)

    def survives(lent: Adapter) -> None:
        with pytest.raises(type(error)):
            fails(lent)

    if caught:
        shop.use(work=survives)
    else:
        with pytest.raises(type(error)):
            shop.use(work=fails)
    assert shop.made[0].closed
    assert shop.use() is shop.made[1]


@pytest.mark.parametrize("error", [InvalidData("x"), ExternalNotFound("x"), InvalidRequest("x")])
def test_after_an_error_about_content_an_adapter_is_kept(shop: Shop, error: BaseException) -> None:
    with pytest.raises(type(error)):
        shop.use(work=failing(error))
    assert shop.use() is shop.made[0]


def test_what_else_goes_wrong_in_a_step_counts_against_the_adapter_only_if_nobody_expected_it(
    shop: Shop,
) -> None:
    def raising(error: Exception) -> Callable[[Adapter], object]:
        def work(_lent: Adapter) -> None:
            raise error

        return work

    with suppress(Unavailable):
        shop.use(work=raising(Unavailable("Our own database.")))
    assert shop.use() is shop.made[0]
    with suppress(KeyError):
        shop.use(work=raising(KeyError()))
    assert shop.made[0].closed


def test_pages_that_nobody_reads_to_the_end_are_closed_with_the_use(shop: Shop) -> None:
    pages: list[Iterator[Records]] = []

    def reads_a_little(lent: Adapter) -> None:
        pages.extend([lent.fetch("o", {}), lent.fetch("o", {})])
        for one in pages:
            next(one)
        assert shop.made[0].open_pages == 2

    shop.use(work=reads_a_little)
    assert shop.made[0].open_pages == 0
    assert [list(one) for one in pages] == [[], []]
    assert shop.use() is shop.made[0]


def test_errors_are_clean_also_when_the_step_goes_on_after_them(shop: Shop) -> None:
    hearing, told = Hearing(), list[str]()
    hearing.hand([{"name": "Ann"}], ["name"])

    def work(lent: Adapter) -> None:
        lent._adapter.error = SystemUnavailable("x")  # type: ignore[attr-defined]
        for call in (lambda: lent.lookup("o", {}), lambda: next(lent.fetch("o", {}))):
            with pytest.raises(SystemUnavailable) as caught:
                call()
            told.append(str(caught.value))

    shop.use(work=work, hearing=hearing)
    assert told == ["Login [redacted] failed for [redacted]."] * 2


def test_what_a_kept_adapter_has_revealed_before_is_still_cleaned(shop: Shop) -> None:
    shop.use(work=lambda lent: lent.lookup("o", {}))

    with pytest.raises(InvalidRequest, match=r"^Not \[redacted\]\.$"):
        shop.use(work=failing(InvalidRequest(f"Not {SECRET}.")))  # it does not sign in again
    assert len(shop.made) == 1


def test_only_a_few_are_kept(shop: Shop) -> None:
    def nested(depth: int) -> None:
        shop.use(work=lambda _: nested(depth - 1) if depth else None)

    nested(9)
    assert (len(shop.made), sum(one.closed for one in shop.made)) == (10, 6)


def test_an_adapter_that_waits_too_long_is_closed_though_nobody_comes() -> None:
    shop = Shop(idle=0.1)
    for _ in range(2):
        used = shop.use()
        eventually(lambda used=used: used.closed, what="closed when idle")  # type: ignore[misc]
    assert len(shop.made) == 2


def test_one_that_is_used_all_the_time_is_replaced_when_it_is_old() -> None:
    shop = Shop(age=0.2)
    eventually(lambda: shop.use() is not shop.made[0], what="another adapter")
    assert shop.made[0].closed
    shop.pool.close()
    old = Shop(age=0)
    assert old.use().closed


def test_a_closed_pool_keeps_nothing_and_still_serves() -> None:
    shop = Shop()
    first = shop.use()
    shop.pool.close()
    shop.pool.close()
    assert first.closed == 1
    assert shop.use().closed == 1


def test_an_adapter_that_cannot_be_made_is_nobodys() -> None:
    def refuse(_connector: Connector) -> Adapter:
        raise InvalidRequest("No adapter serves it.")

    pool = AdapterPool(refuse)
    for _ in range(2):
        with pytest.raises(InvalidRequest), pool.lend(ERP, Hearing()):
            pass
