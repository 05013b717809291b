"""Graph, Communication Services, Teams and Slack: documented bodies, and what their failures mean."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from adapters.comms.acs_mail import AccessKey, AcsMail, Bearer
from adapters.comms.graph_mail import GraphMail
from adapters.comms.letter import Channel, Letter
from adapters.comms.mail import MailChannel, Sender
from adapters.comms.slack import SlackChannel
from adapters.comms.teams import TeamsChannel
from kernel.clock import utc_now
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    RateLimited,
    SystemUnavailable,
)
from kernel.secrets import Secret
from tests.support.adapter_systems import closed_port
from tests.support.adapters import Vault
from tests.support.letters import LETTER, LINK, letters
from tests.support.message_server import (
    ACCESS_KEY,
    MAILBOX,
    SIGNATURE,
    TOKEN,
    Failure,
    MessageServer,
    message_server,
)

TO = "ann@example.com"
SENDER = Sender(MAILBOX)
CANARIES = (TOKEN, SIGNATURE, ACCESS_KEY, TO)


@pytest.fixture(scope="module")
def running() -> Iterator[MessageServer]:
    with message_server() as server:
        yield server


@pytest.fixture
def server(running: MessageServer) -> MessageServer:
    running.taken.clear()
    running.failures.clear()
    running.refusals.clear()
    return running


def graph(server: MessageServer) -> Channel:
    return MailChannel(GraphMail(SENDER, lambda: Secret(TOKEN), server.url))


def acs_by_key(server: MessageServer) -> Channel:
    return MailChannel(AcsMail(server.url, SENDER, AccessKey(Vault({"acs": ACCESS_KEY}), "acs", utc_now)))


def acs_by_token(server: MessageServer) -> Channel:
    return MailChannel(AcsMail(server.url, SENDER, Bearer(lambda: Secret(TOKEN))))


def teams(server: MessageServer) -> Channel:
    return TeamsChannel(Vault({"hook": server.webhook}), "hook")


def slack(server: MessageServer) -> Channel:
    return SlackChannel(Vault({"hook": f"{server.url}/services/T/B/{SIGNATURE}"}), "hook")


CHANNELS: Mapping[str, Callable[[MessageServer], Channel]] = {
    "graph": graph, "acs by key": acs_by_key, "acs by token": acs_by_token, "teams": teams, "slack": slack,
}  # fmt: skip
every_channel = pytest.mark.parametrize("make", CHANNELS.values(), ids=CHANNELS)


def fresh() -> Letter:
    return replace(LETTER, id=uuid4())


def failure_of(channel: Channel) -> ExternalError:
    with pytest.raises(ExternalError) as caught:
        channel.send(fresh(), TO)
    assert not [canary for canary in CANARIES if canary in f"{caught.value} {caught.value.to_dict()}"]
    return caught.value


@every_channel
def test_what_is_sent_has_the_documented_shape(
    server: MessageServer, make: Callable[[MessageServer], Channel]
) -> None:
    make(server).send(fresh(), TO)
    assert (len(server.taken), server.refusals) == (1, [])
    body = str(server.taken[0].body)
    assert LINK in body
    assert "51,234.50" in body


@every_channel
@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (429, {"Retry-After": "17"}, RateLimited, 17),
        (503, {"Retry-After": "9"}, SystemUnavailable, 9),
        (500, {}, SystemUnavailable, None),
        (400, {}, InvalidData, None),
        (401, {}, AuthenticationFailed, None),
        (403, {}, AccessForbidden, None),
        (404, {}, ExternalNotFound, None),
        (410, {}, ExternalNotFound, None),
        (302, {"Location": "https://evil.example/"}, ExternalError, None),
    ],
)
def test_failures_mean_what_they_mean(
    server: MessageServer, make: Callable[[MessageServer], Channel], status: int,
    headers: Mapping[str, str], kind: type[ExternalError], wait: float | None,
) -> None:  # fmt: skip
    body = f'{{"error": {{"code": "SomeCode", "message": "{TO} {TOKEN} {SIGNATURE}"}}}}'.encode()
    server.failures.append(Failure(status, headers, body))
    error = failure_of(make(server))
    assert (type(error), error.retry_after) == (kind, wait)
    assert "SomeCode" in error.message
    assert server.taken == []


@every_channel
def test_a_dropped_connection_leaves_it_open(
    server: MessageServer, make: Callable[[MessageServer], Channel]
) -> None:
    server.failures.append(Failure())
    assert type(failure_of(make(server))) is InDoubt


@every_channel
def test_where_nobody_listens_nothing_was_sent(make: Callable[[MessageServer], Channel]) -> None:
    nowhere = MessageServer()
    nowhere.port = closed_port()
    assert type(failure_of(make(nowhere))) is SystemUnavailable


@every_channel
def test_no_log_has_a_credential_or_an_address(
    server: MessageServer, make: Callable[[MessageServer], Channel], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        channel = make(server)
        channel.send(fresh(), TO)
    assert not [canary for canary in CANARIES if canary in caplog.text + repr(vars(channel))]


def test_graph_is_told_who_it_is_and_keeps_no_copy(server: MessageServer) -> None:
    letter = fresh()
    graph(server).send(letter, TO)
    taken = server.taken[0]
    assert taken.headers["client-request-id"] == str(letter.id)
    assert taken.body["message"]["internetMessageId"] == f"<{letter.id}@example.com>"
    assert taken.body["message"]["toRecipients"] == [{"emailAddress": {"address": TO}}]
    assert taken.body["saveToSentItems"] is False


def test_communication_services_take_a_repeated_mail_once(server: MessageServer) -> None:
    letter, channel = fresh(), acs_by_key(server)
    channel.send(letter, TO)
    channel.send(letter, TO)
    assert len(server.taken) == 1
    assert server.taken[0].body["userEngagementTrackingDisabled"] is True


def test_what_is_no_key_is_said_so(server: MessageServer) -> None:
    proof = AccessKey(Vault({"acs": f"endpoint=x;accesskey={SIGNATURE}"}), "acs", utc_now)
    error = failure_of(MailChannel(AcsMail(server.url, SENDER, proof)))
    assert isinstance(error, AuthenticationFailed)


def test_a_date_says_when_to_come_back(server: MessageServer) -> None:
    now = datetime.now(UTC)
    headers = {"Date": format_datetime(now, usegmt=True)}
    headers["Retry-After"] = format_datetime(now + timedelta(seconds=40), usegmt=True)
    server.failures.append(Failure(429, headers))
    assert failure_of(graph(server)).retry_after == 40


@given(letters())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mail_of_any_content_is_taken(server: MessageServer, letter: Letter) -> None:
    server.refusals.clear()
    graph(server).send(replace(letter, id=uuid4()), TO)
    acs_by_token(server).send(replace(letter, id=uuid4()), TO)
    assert server.refusals == []


def test_messages_to_one_room_are_a_second_apart(server: MessageServer) -> None:
    channel = teams(server)
    begin = utc_now()
    channel.send(fresh(), None)
    channel.send(fresh(), None)
    assert utc_now() - begin >= timedelta(seconds=1)


@pytest.mark.parametrize(
    "address", ["http://example.com/?sig=canary", "file:///etc/passwd", "canary", "https://"]
)
def test_a_webhook_without_tls_is_not_called(address: str) -> None:
    with pytest.raises(ExternalNotFound) as caught:
        TeamsChannel(Vault({"hook": address}), "hook").send(fresh(), None)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", None, "nobody", "a@b, c@d", "Ann <a@b>", "a@b\r\nBcc: c@d", "a@b c@d", "@b", "a@"],
)
def test_what_is_no_address_gets_no_mail(server: MessageServer, address: Any) -> None:
    with pytest.raises(InvalidData):
        graph(server).send(fresh(), address)
    assert server.taken == []
