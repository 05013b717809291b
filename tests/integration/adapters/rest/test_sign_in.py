"""Ways to sign in to a real server."""

import base64
from contextlib import closing
from typing import Any

import pytest

from adapters.contract import Adapter, Connector
from adapters.registry import get_adapter
from kernel.errors import AuthenticationFailed, SystemUnavailable
from tests.integration.adapters.rest.test_faults import batch_for
from tests.support.adapter_systems import SANDBOX, closed_port
from tests.support.adapters import Vault
from tests.support.erp_server.client import ErpServer
from tests.support.eventually import eventually
from tests.support.rest_connectors import connector

SECRET = "canary-s3cret"


def adapter(server: ErpServer, auth: Any, secret_name: str, secret: str = SECRET) -> Adapter:
    plain = connector(server, auth=auth)
    with_secret = Connector(plain.key, plain.system, plain.settings, {secret_name: "s"})
    return get_adapter(with_secret, SANDBOX, Vault({"s": secret}))


@pytest.mark.parametrize(
    ("auth", "secret_name", "header", "value"),
    [
        ("bearer", "token", "authorization", f"Bearer {SECRET}"),
        (
            {"basic": "sluice"},
            "password",
            "authorization",
            f"Basic {base64.b64encode(f'sluice:{SECRET}'.encode()).decode()}",
        ),
        ({"header": "X-Api-Key"}, "api_key", "x-api-key", SECRET),
        ({"header": "Authorization", "prefix": "Token "}, "api_key", "authorization", f"Token {SECRET}"),
    ],
)
def test_a_secret_goes_where_the_system_expects_it(
    server: ErpServer, auth: Any, secret_name: str, header: str, value: str
) -> None:
    server.control(required={header: value})
    with closing(adapter(server, auth, secret_name)) as right:
        assert right.push("keyed", {}, batch_for("keyed"))
    with (
        closing(adapter(server, auth, secret_name, "another-secret")) as wrong,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        wrong.push("keyed", {}, batch_for("keyed"))
    assert "another-secret" not in str(caught.value)


def oauth(server: ErpServer, **changes: Any) -> dict[str, Any]:
    return {"oauth": {"token_url": f"{server.url}/oauth/token", "client_id": "sluice", **changes}}


@pytest.mark.parametrize("send", ["basic", "form"])
def test_a_token_is_kept_until_shortly_before_it_expires(server: ErpServer, send: str) -> None:
    before = server.state()["tokens_granted"]
    with closing(adapter(server, oauth(server, send=send), "client_secret")) as made:
        for _ in range(3):
            made.push("keyed", {}, batch_for("keyed"))
    assert server.state()["tokens_granted"] == before + 1


def test_a_short_lived_token_is_renewed_at_half_of_its_life(server: ErpServer) -> None:
    before = server.control(token_seconds=1)["tokens_granted"]
    with closing(adapter(server, oauth(server), "client_secret")) as made:

        def renewed() -> bool:
            made.push("keyed", {}, batch_for("keyed"))
            return bool(server.state()["tokens_granted"] == before + 2)

        eventually(renewed, what="a second token was asked for")


def test_a_token_that_was_revoked_is_replaced_once_and_the_write_is_done_once(server: ErpServer) -> None:
    before = server.state()["tokens_granted"]
    with closing(adapter(server, oauth(server), "client_secret")) as made:
        made.push("keyed", {}, batch_for("keyed"))
        server.control(required={"authorization": "Bearer of another time"})
        batch = batch_for("sink")
        made.push("sink", {}, batch)
    assert server.state()["tokens_granted"] == before + 2
    assert server.counts("sink")[batch[0].key] == 1


def test_a_client_that_is_refused_or_a_token_endpoint_that_is_away_writes_nothing(server: ErpServer) -> None:
    batch = batch_for("sink")
    refusing = oauth(server, token_url=f"{server.url}/keyed/lines")
    away = oauth(server, token_url=f"http://127.0.0.1:{closed_port()}/token")
    for auth, error in ((refusing, AuthenticationFailed), (away, SystemUnavailable)):
        with (
            closing(adapter(server, auth, "client_secret")) as made,
            pytest.raises(error) as caught,
        ):
            made.push("sink", {}, batch)
        assert SECRET not in str(caught.value)
    assert server.counts("sink")[batch[0].key] == 0
