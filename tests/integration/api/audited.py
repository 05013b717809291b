"""A call for every endpoint that changes something, which succeeds. A new endpoint needs a line here.

`CANARY` stands where values of records or settings stand: it must not come up in the audit trail.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import psycopg

from kernel.people import Person
from store.runs import RunRow
from tests.integration.api.test_api import call, example
from tests.integration.api.unsettled import in_doubt, set_aside
from tests.support.approvals import CARLA, DIRECTORS, asked, suspended
from tests.support.world import ADA, World
from workflows.states import RunState

CANARY = "c4n4ry"
UNCHANGING = frozenset({"workflows_validate"})
"""Endpoints that take a body but change nothing."""

type Sample = Callable[[World], Mapping[str, Any]]
"""Prepares the world, and gives the route, body, data and headers of the call."""


def run_in(world: World, state: RunState) -> RunRow:
    """A run in a state."""
    world.publish()
    run = world.start(file=CANARY)
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET state = %s WHERE id = %s", [state, run.id])
    return run


def _given(**call: Any) -> Sample:
    return lambda _world: call


def _operated(state: RunState) -> Sample:
    return lambda world: {"id": str(run_in(world, state).id), "body": {"reason": "because"}}


def _started(world: World) -> Mapping[str, Any]:
    world.publish()
    return {"key": "labour-costs", "body": {"inputs": {"file": CANARY}}}


def _in_doubt(world: World) -> Mapping[str, Any]:
    return {"id": str(in_doubt(world)[0]), "body": {"outcome": "confirmed", "reason": "because"}}


def _discarded(world: World) -> Mapping[str, Any]:
    return {"id": str(set_aside(world)[0]), "body": {"reason": "because"}}


def _retried(world: World) -> Mapping[str, Any]:
    [letter] = set_aside(world)
    edits = {str(letter): {"activity": CANARY}}
    return {"body": {"ids": [str(letter)], "edits": edits, "reason": "because"}}


def _retried_one(world: World) -> Mapping[str, Any]:
    return {
        "id": str(set_aside(world)[0]),
        "body": {"edit": {"activity": CANARY}, "reason": "because"},
    }


def _wanted_key(world: World) -> Mapping[str, Any]:
    expires = world.deployment.clock() + timedelta(days=1)
    return {"body": {"name": "nightly", "roles": ["operator"], "expires_at": expires.isoformat()}}


def _revoked(world: World) -> Mapping[str, Any]:
    made = call(world, "api_keys_create", **_wanted_key(world)).body
    return {"id": made["key"]["id"], "body": {"reason": "because"}}


def _asked(person: Person = ADA, **body: Any) -> Sample:
    """Something that somebody says to a request for approval."""

    def sample(world: World) -> Mapping[str, Any]:
        [approval] = asked(world, suspended(world))
        return {"id": str(approval.id), "body": body, "person": person}

    return sample


def _given_up(world: World) -> Mapping[str, Any]:
    [approval] = asked(world, suspended(world))
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.notification SET state = 'FAILED' WHERE approval_id = %s", [approval.id])
    [(number,)] = world.sql("SELECT id FROM sluice.notification WHERE approval_id = %s", [approval.id])
    return {"id": str(number)}


SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "workflows_publish": _given(data=example().replace(b"2500.00", b"2600.00")),
        "connectors_save": _given(
            key="new",
            body={"system": "files", "settings": {"container": CANARY}, "secrets": {"connection": CANARY}},
        ),
        "object_types_save": _given(name="new", body={"schema": {"const": CANARY}}),
        "files_upload": _given(name="new.csv", data=CANARY.encode()),
        "approvals_decide": _asked(CARLA, decision="approve"),
        "approvals_comment": _asked(text="Is that so?"),
        "approvals_reassign": _asked(to=[DIRECTORS], reason="because"),
        "notifications_send": _given_up,
        "api_keys_create": _wanted_key,
        "api_keys_revoke": _revoked,
        "runs_start": _started,
        "runs_cancel": _operated(RunState.PENDING),
        "runs_pause": _operated(RunState.RUNNING),
        "runs_resume": _operated(RunState.SUSPENDED),
        "runs_retry": _operated(RunState.FAILED),
        "runs_replay": _operated(RunState.SUCCEEDED),
        "postings_resolve": _in_doubt,
        "dead_letters_discard": _discarded,
        "dead_letters_retry": _retried,
        "dead_letters_retry_one": _retried_one,
    }
)
