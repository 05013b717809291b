"""Every route, asked for by every role, by machines and by nobody; and every change, asked for directly."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import azure.functions as func
import pytest

from commands.permissions import PEOPLE_ONLY, PERMISSIONS, permit
from kernel.errors import Forbidden, InternalError, Unauthenticated
from kernel.people import INCLUDES, SYSTEM, Person, Role, with_included
from tests.integration.api.audited import SAMPLES
from tests.integration.api.test_api import BY_NAME, Reply, read
from tests.support.world import Unstarted, World
from triggers.blueprint import ENDPOINTS
from triggers.fallback import fallback_endpoint
from triggers.http import CHALLENGE, Endpoint, Identify, Request, answer
from triggers.openapi import openapi_endpoint

VIEWER, AUTHOR, OPERATOR, APPROVER, ADMIN = Role
EVERYBODY = frozenset(Role)
AUTHORS, OPERATORS = frozenset({AUTHOR, ADMIN}), frozenset({OPERATOR, ADMIN})
RUNNERS, DECIDERS = AUTHORS | OPERATORS, frozenset({APPROVER, ADMIN})
ADMINS = frozenset({ADMIN})

# Written down a second time, by route: whoever changes the table of permissions looks here as well.
ALLOWED: Mapping[str, frozenset[Role]] = {
    "workflows_publish": AUTHORS,
    "workflows_validate": AUTHORS,
    "workflows_list": EVERYBODY,
    "workflows_get": EVERYBODY,
    "workflows_versions": EVERYBODY,
    "schemas_workflow": EVERYBODY,
    "connectors_save": ADMINS,
    "connectors_list": EVERYBODY,
    "connectors_get": EVERYBODY,
    "object_types_save": AUTHORS,
    "object_types_list": EVERYBODY,
    "files_upload": RUNNERS,
    "runs_start": RUNNERS,
    "runs_list": EVERYBODY,
    "runs_get": EVERYBODY,
    "runs_dead_letters": EVERYBODY,
    "runs_chunks": EVERYBODY,
    "chunks_get": EVERYBODY,
    "runs_events": EVERYBODY,
    "runs_cancel": OPERATORS,
    "runs_pause": OPERATORS,
    "runs_resume": OPERATORS,
    "runs_retry": OPERATORS,
    "runs_replay": OPERATORS,
    "postings_list": EVERYBODY,
    "postings_get": EVERYBODY,
    "postings_resolve": OPERATORS,
    "dead_letters_list": EVERYBODY,
    "dead_letters_get": EVERYBODY,
    "dead_letters_discard": OPERATORS,
    "dead_letters_retry": OPERATORS,
    "dead_letters_retry_one": OPERATORS,
    "approvals_list": EVERYBODY,
    "approvals_get": EVERYBODY,
    "approvals_lines": EVERYBODY,
    "approvals_decide": DECIDERS,
    "approvals_comment": RUNNERS | DECIDERS,
    "approvals_reassign": OPERATORS | DECIDERS,
    "notifications_list": OPERATORS,
    "notifications_send": OPERATORS,
    "audit_list": EVERYBODY,
    "audit_verify": EVERYBODY,
    "api_keys_create": ADMINS,
    "api_keys_list": ADMINS,
    "api_keys_revoke": ADMINS,
}
ANYONE = frozenset({"health_live", "health_ready", "openapi", "not_found"})
ALL = {
    endpoint.name: endpoint
    for endpoint in (*ENDPOINTS, openapi_endpoint(ENDPOINTS), fallback_endpoint(ENDPOINTS))
}
NO_MACHINES = frozenset({"approvals_decide", "api_keys_create"})


def holding(*roles: Role) -> Person:
    """Somebody with these roles."""
    return Person("local:somebody", "Somebody", roles=frozenset(roles))


def nobody(_request: func.HttpRequest) -> Person:
    """Who is not known."""
    raise Unauthenticated("Nobody has signed in.")


def ask(world: World, endpoint: Endpoint, identify: Identify) -> Reply:
    """What a route answers about things that do not exist."""
    route = {"id": str(uuid4()), "key": "nothing", "name": "nothing", "path": "nothing"}
    request = func.HttpRequest(
        method=endpoint.method, url="/", params={"wait": "0"}, route_params=route, body=b"{}"
    )
    return read(answer(endpoint, Request(request, world.deployment, identify, Unstarted())))


def test_every_route_is_in_the_table() -> None:
    assert set(ALL) == {*ALLOWED, *ANYONE}
    assert {name for name, endpoint in ALL.items() if endpoint.anonymous} == ANYONE
    used = {endpoint.command for endpoint in ENDPOINTS if not endpoint.anonymous}
    assert used <= set(PERMISSIONS)


def test_every_route_asks_who_it_is_and_whether_they_may(world: World) -> None:
    for name, roles in ALLOWED.items():
        for role in Role:
            reply = ask(world, ALL[name], lambda _request, role=role: holding(role))  # type: ignore[misc]
            assert (reply.status == 403) == (role not in roles), (name, role, reply.body)
            assert reply.status not in (401, 500), (name, role, reply.body)
        reply = ask(world, ALL[name], lambda _request: holding())
        assert (reply.status, reply.body["code"]) == (403, "forbidden"), name


def test_nobody_gets_what_anyone_may_and_nothing_else(world: World) -> None:
    for name, endpoint in ALL.items():
        reply = ask(world, endpoint, nobody)
        assert (reply.status == 401) == (name not in ANYONE), name
        if reply.status == 401:
            assert reply.headers["WWW-Authenticate"] == CHALLENGE
            assert (reply.body["code"], reply.body["detail"]) == ("unauthenticated", "Nobody has signed in.")


def test_machines_are_kept_to_their_scopes(world: World) -> None:
    for name in ALLOWED:
        command = ALL[name].command
        machine = replace(holding(ADMIN), id="key:1", machine=True, scopes=frozenset({command}))
        allowed = ask(world, ALL[name], lambda _request: machine)  # noqa: B023
        assert (allowed.status == 403) == (name in NO_MACHINES), name
        limited = replace(machine, scopes=frozenset(PERMISSIONS) - {command})
        assert ask(world, ALL[name], lambda _request: limited).status == 403, name  # noqa: B023
        weak = replace(machine, roles=frozenset({VIEWER}))
        reply = ask(world, ALL[name], lambda _request: weak)  # noqa: B023
        assert (reply.status == 403) == (VIEWER not in ALLOWED[name]), name


def test_every_change_asks_again_whoever_calls_it(world: World) -> None:
    """The shell is one caller among others: pages and programs call the same commands."""
    for name, sample in SAMPLES.items():
        given: dict[str, Any] = dict(sample(world))
        given.pop("person", None)
        body, data, headers = given.pop("body", None), given.pop("data", b""), given.pop("headers", {})
        content = data if body is None else json.dumps(body).encode()
        request = func.HttpRequest(method="POST", url="/", headers=headers, route_params=given, body=content)
        asked = Request(request, world.deployment, lambda _request: holding(VIEWER), Unstarted())
        before = world.sql("SELECT count(*) FROM sluice.audit_event")
        with pytest.raises(Forbidden, match="needs"):
            BY_NAME[name].handler(asked)
        assert world.sql("SELECT count(*) FROM sluice.audit_event") == before, name


def test_refusals_say_what_is_missing() -> None:
    with pytest.raises(Forbidden, match="Somebody has viewer; cancel_run needs operator"):
        permit(holding(VIEWER), "cancel_run")
    with pytest.raises(Forbidden, match=r"start_run needs author or operator\. An administrator"):
        permit(holding(), "start_run")
    with pytest.raises(Forbidden, match="only people may use decide_approval"):
        permit(replace(holding(APPROVER), machine=True), "decide_approval")
    with pytest.raises(InternalError, match="No permission is written down for 'conquer'"):
        permit(holding(ADMIN), "conquer")


def test_the_engine_may_do_what_no_person_has_to_do() -> None:
    for command in set(PERMISSIONS) - PEOPLE_ONLY:
        permit(SYSTEM, command)


def test_roles_include_others() -> None:
    assert INCLUDES.keys() == set(Role)
    assert with_included([OPERATOR]) == {OPERATOR, VIEWER}
    assert with_included([ADMIN]) == set(Role)
    assert with_included([]) == frozenset()
    assert all(VIEWER in with_included([role]) for role in Role)
