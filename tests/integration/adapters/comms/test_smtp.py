"""Mail by SMTP: into the real catcher and its inbox, refused, lost, with TLS and without."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from adapters.comms.channels import build_channels
from adapters.comms.mail import MailChannel, Sender
from adapters.comms.smtp import SmtpMail, SmtpServer
from kernel.clock import utc_now
from kernel.errors import (
    AuthenticationFailed,
    ExternalError,
    InDoubt,
    InvalidData,
    InvalidSettings,
    SystemUnavailable,
    Transient,
)
from kernel.settings import read_settings
from localhost.services.stack import Endpoints
from tests.support.adapter_systems import closed_port
from tests.support.adapters import Vault
from tests.support.letters import LETTER, LINK, NASTY
from tests.support.mail_servers import PASSWORD, USER, Server, mail_server, self_signed
from tests.unit.kernel.test_settings import FROM, GOOD, REACHED

TO = "ann@example.com"


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    with mail_server() as server:
        yield server


@pytest.fixture
def server(plain: Server) -> Server:
    plain.recipient_answer = plain.content_answer = ""
    plain.drops = False
    plain.contents.clear()
    return plain


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


def channel(
    port: int, security: str = "none", password: str = PASSWORD, certificate: Path | None = None
) -> MailChannel:
    user = "" if security == "none" else USER
    where = SmtpServer("127.0.0.1", port, security, user, "smtp")
    trusted = ssl.create_default_context(cafile=certificate) if certificate else None
    sender = Sender("sluice@example.com", 'Slüice, the "app"')
    return MailChannel(SmtpMail(where, sender, Vault({"smtp": password}), utc_now, trusted))


def failure_of(channel: MailChannel) -> ExternalError:
    with pytest.raises(ExternalError) as caught:
        channel.send(LETTER, TO)
    assert not [one for one in (TO, PASSWORD) if one in f"{caught.value} {caught.value.to_dict()}"]
    return caught.value


def inbox(stack: Endpoints, path: str) -> Any:
    with httpx2.Client(base_url=stack.inbox_url, trust_env=False) as client:
        answer = client.get(path)
    return answer


def test_a_mail_arrives_in_the_inbox_with_all_its_parts(stack: Endpoints) -> None:
    letter, to = replace(LETTER, id=uuid4(), subject="Über 50.000 €" + NASTY[0]), f"{uuid4().hex}@example.com"
    channel(stack.smtp_port).send(letter, to)
    [found] = inbox(stack, f"/api/mails?to={to}").json()["items"]
    assert found["message_id"] == f"<{letter.id}@example.com>"
    assert found["subject"] == "Über 50.000 € Bcc: eve@example.com"
    mail = inbox(stack, f"/api/mails/{found['id']}").json()
    assert mail["headers"]["To"] == to
    assert "Bcc" not in mail["headers"]
    assert mail["headers"]["Auto-Submitted"] == "auto-generated"
    assert (mail["text"].count(LINK), mail["html"].count(LINK)) == (1, 1)


@pytest.mark.parametrize("length", [60, 69, 70, 71, 78, 80, 180])
def test_no_subject_begins_with_a_space(server: Server, length: int) -> None:
    channel(server.port).send(replace(LETTER, subject=("Approval needed, " * 11)[:length]), TO)
    assert b"Subject: Approval needed, " in server.contents[0]


def test_the_inbox_shows_mail_that_can_do_nothing(stack: Endpoints) -> None:
    to = f"{uuid4().hex}@example.com"
    channel(stack.smtp_port).send(replace(LETTER, subject="<b>bold</b>"), to)
    [found] = inbox(stack, f"/api/mails?to={to}").json()["items"]
    here = f"/mails/{found['id']}"
    listed, page, html = inbox(stack, "/"), inbox(stack, here), inbox(stack, f"{here}/html")
    assert "&lt;b&gt;bold&lt;/b&gt;" in listed.text
    assert "<iframe title='The mail'" in page.text
    assert "sandbox allow-popups" in html.headers["content-security-policy"]
    assert "script-src" not in html.headers["content-security-policy"]
    assert "default-src 'none'" in html.headers["content-security-policy"]
    assert inbox(stack, f"{here}/text").headers["content-type"].startswith("text/plain")
    assert inbox(stack, f"{here}/raw").headers["content-type"].startswith("text/plain")
    assert inbox(stack, "/mails/../../secrets").status_code == 404
    assert inbox(stack, f"{here}/other").status_code == 404


@pytest.mark.parametrize(
    ("recipient", "content", "kind", "said"),
    [
        ("550 5.1.1 <ann@example.com> unknown", "", InvalidData, "550 5.1.1"),
        ("450 4.2.1 ann@example.com busy", "", Transient, "450 4.2.1"),
        ("", "554 5.7.1 password-canary-4711", InvalidData, "554 5.7.1"),
        ("", "451 try later", Transient, "(451)"),
    ],
)
def test_refusals_say_their_code_and_quote_nothing(
    server: Server, recipient: str, content: str, kind: type[ExternalError], said: str
) -> None:
    server.recipient_answer, server.content_answer = recipient, content
    error = failure_of(channel(server.port))
    assert type(error) is kind
    assert said in error.message


def test_a_connection_lost_after_the_mail_leaves_it_open(server: Server) -> None:
    server.drops = True
    assert type(failure_of(channel(server.port))) is InDoubt
    assert len(server.contents) == 1


def test_where_nobody_listens_nothing_was_sent() -> None:
    assert type(failure_of(channel(closed_port()))) is SystemUnavailable


def test_a_line_that_is_a_dot_ends_no_mail(server: Server) -> None:
    channel(server.port).send(replace(LETTER, headline=".", intro=".. two"), TO)
    assert len(server.contents) == 1
    text = server.contents[0].partition(b"text/html")[0]
    assert b"\r\n.\r\n" in text
    assert b"\r\n.. two" in text


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_with_tls_the_user_signs_in(security: str, certificate: Path) -> None:
    with mail_server(security, certificate) as server:
        channel(server.port, security, certificate=certificate).send(LETTER, TO)
        assert len(server.contents) == 1
        wrong = failure_of(channel(server.port, security, "wrong", certificate))
        assert isinstance(wrong, AuthenticationFailed)
        stranger = failure_of(channel(server.port, security))
        assert isinstance(stranger, AuthenticationFailed)
        assert "certificate" in stranger.message
        assert len(server.contents) == 1


def test_no_mail_goes_out_where_tls_was_wanted_and_is_not_offered(server: Server) -> None:
    assert isinstance(failure_of(channel(server.port, "starttls")), AuthenticationFailed)
    assert server.contents == []


def test_in_clear_mail_stays_on_the_machine() -> None:
    given = {"SLUICE_MAIL": "smtp", "SLUICE_SMTP_HOST": "mail.example.com", "SLUICE_SMTP_SECURITY": "none"}
    settings = read_settings({**GOOD, **REACHED, **FROM, **given})
    with pytest.raises(InvalidSettings, match="travel in clear"):
        build_channels(settings, Vault({}), utc_now)
    assert PASSWORD not in repr(vars(channel(25)))


def test_a_name_that_this_server_cannot_spell_is_refused(server: Server) -> None:
    with pytest.raises(InvalidData, match="letters that"):
        channel(server.port).send(LETTER, "ännchen@example.com")


@pytest.mark.parametrize(
    ("given", "channels"),
    [
        ({}, []),
        ({"SLUICE_MAIL": "smtp", "SLUICE_SMTP_HOST": "mail.example.com"}, ["mail"]),
        ({"SLUICE_MAIL": "graph"}, ["mail"]),
        ({"SLUICE_MAIL": "acs", "SLUICE_ACS_ENDPOINT": "https://x.communication.azure.com"}, ["mail"]),
        ({"SLUICE_TEAMS_SECRET": "t", "SLUICE_SLACK_SECRET": "s"}, ["teams", "slack"]),
    ],
)
def test_a_deployment_has_the_channels_of_its_settings(given: dict[str, str], channels: list[str]) -> None:
    settings = read_settings({**GOOD, **REACHED, **FROM, **given})
    assert list(build_channels(settings, Vault({}), utc_now)) == channels
