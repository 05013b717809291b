"""Test people: on this machine only, by a header or a session that we have made."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.identity.people_file import PeopleFile
from kernel.clock import utc_now
from kernel.errors import Forbidden, InvalidSettings, Unauthenticated
from kernel.people import Role
from kernel.secrets import Secret
from kernel.settings import read_settings
from tests.integration.identity.requests import request
from tests.support.world import EXAMPLES, World
from tests.unit.kernel.test_settings import GOOD
from triggers.http import Identify
from triggers.identity.building import build_identity
from triggers.identity.local import LocalPeople
from triggers.identity.sessions import COOKIE, LASTS, Sessions

PEOPLE = EXAMPLES / "people.json"
SECRET = Secret(base64.b64encode(b"k" * 32).decode())
HERE = {"Host": "localhost:7071"}


@pytest.fixture
def identify(world: World) -> Identify:
    environ = {**GOOD, "SLUICE_IDENTITY": "local", "SLUICE_PEOPLE_FILE": str(PEOPLE)}
    return build_identity(read_settings(environ), world.deployment.database, utc_now).identify


def test_everybody_in_the_example_is_known(identify: Identify, world: World) -> None:
    people = {name: identify(request(X_Sluice_Person=name)) for name in json.loads(PEOPLE.read_text())}
    assert {role for person in people.values() for role in person.roles} == set(Role)
    assert people["carla"].groups == {"finance-controllers"}
    assert all(person.id == f"local:{name}" and not person.machine for name, person in people.items())
    assert len(world.sql("SELECT id FROM sluice.person")) == len(people)
    assert [one.id for one in PeopleFile(PEOPLE).members("finance-controllers")] == [
        "local:carla",
        "local:conrad",
    ]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://sluice.example.com/api/runs", {}),
        ("http://localhost/api/runs", {"Host": "evil.example.com"}),
        ("http://evil.example.com/api/runs", {"Host": "localhost"}),
        ("http://192.168.1.7:7071/api/runs", {}),
        ("http://localhost.example.com/api/runs", {}),
        ("http://localhost:7071/api/runs", {"X_Forwarded_For": "192.168.1.8"}),
        ("http://localhost:7071/api/runs", {"X_Forwarded_For": "127.0.0.1,192.168.1.8"}),
        ("http://localhost:7071/api/runs", {"X_Forwarded_For": "192.168.1.8, 127.0.0.1"}),
        ("http://localhost:7071/api/runs", {"Origin": "https://evil.example.com"}),
        ("http://localhost:7071/api/runs", {"Origin": "null"}),
        ("/api/runs", {}),
    ],
)
def test_requests_from_elsewhere_do_not_count(identify: Identify, url: str, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="from this machine"):
        identify(request("GET", url, X_Sluice_Person="ada", **headers))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7071/x", "http://[::1]:7071/x", "http://localhost/x", "http://127.8.0.1/x"]
)
def test_every_loopback_address_counts(identify: Identify, url: str) -> None:
    assert identify(request("GET", url, X_Sluice_Person="ada", X_Forwarded_For="127.0.0.1")).id == "local:ada"


@pytest.mark.parametrize(
    "headers",
    [{}, {"X_Sluice_Person": ""}, {"X_Sluice_Person": "mallory"}, {"X_MS_CLIENT_PRINCIPAL_NAME": "ada"}],
)
def test_nobody_is_told_how(identify: Identify, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match=r"X-Sluice-Person|there are ada"):
        identify(request(**headers))


def cookie(header: str) -> str:
    """What a browser sends back."""
    assert header.startswith(f"{COOKIE}=")
    assert "; HttpOnly; SameSite=Lax" in header
    return header.partition(";")[0]


def test_a_session_names_a_person_until_it_ends() -> None:
    now, sessions = utc_now(), Sessions(SECRET)
    first, second = (cookie(sessions.begin("carla", now)) for _ in range(2))
    found, other = sessions.read(f"a=b; {first}; c=d", now), sessions.read(second, now)
    assert found is not None
    assert other is not None
    assert (found.person, other.person) == ("carla", "carla")
    assert found.id != other.id
    assert sessions.read(first, now + LASTS - timedelta(seconds=1)) == found
    assert sessions.read(first, now + LASTS) is None
    assert Sessions(Secret(base64.b64encode(b"q" * 32).decode())).read(first, now) is None
    assert sessions.read(cookie(sessions.end()), now) is None


def test_a_session_cannot_be_made_or_changed() -> None:
    now, sessions = utc_now(), Sessions(SECRET)
    content, _, seal = cookie(sessions.begin("vera", now)).removeprefix(f"{COOKIE}=").partition(".")
    said = json.loads(base64.urlsafe_b64decode(content))
    forged = base64.urlsafe_b64encode(json.dumps({**said, "person": "ada"}).encode()).decode()
    for wrong in (
        f"{forged}.{seal}", f"{content}.{seal[:-2]}==", f"{content}.", content, f".{seal}", "", ".", "é.é",
        f"{content}.{seal}x", '"', "\\", f"{forged}.{base64.urlsafe_b64encode(b'0' * 32).decode()}",
    ):  # fmt: skip
        assert sessions.read(f"{COOKIE}={wrong}", now) is None, wrong
    assert sessions.read("", now) is None


def test_sessions_count_as_people_and_not_for_pages_of_others() -> None:
    sessions = Sessions(SECRET)
    local = LocalPeople(PeopleFile(PEOPLE).people, sessions, utc_now)
    signed_in = {"Cookie": cookie(sessions.begin("carla", utc_now())), **HERE}

    def ask(method: str = "POST", **headers: str) -> Any:
        return local(request(method, **signed_in, **headers))

    assert ask().id == "local:carla"
    assert ask(Sec_Fetch_Site="same-origin").id == "local:carla"
    assert ask("GET", Sec_Fetch_Site="cross-site").id == "local:carla"  # a link in a mail
    for foreign in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://localhost:9999"}):
        with pytest.raises(Forbidden):
            ask(**foreign)
    gone = {"Cookie": cookie(sessions.begin("mallory", utc_now())), **HERE}
    with pytest.raises(Unauthenticated, match="no test person"):
        local(request(**gone))


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"ada": {}}', '{"ada": {"name": "A", "email": "", "roles": ["king"]}}']
)
def test_a_file_that_is_none_keeps_the_app_from_starting(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "people.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidSettings):
        PeopleFile(path)
