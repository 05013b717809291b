"""Endpoints for probes."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitTimeout

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from commands.deployment import Deployment
from kernel.errors import SluiceError
from kernel.release import VERSION
from kernel.traces import trace_of
from triggers.http import Answer, Endpoint, Request
from triggers.views import HealthView

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0


def live(_request: Request) -> Answer:
    """The process answers."""
    return Answer(HealthView(status="ok", version=VERSION))


def ready(request: Request) -> Answer:
    """Every dependency answers within its time limit; 503 otherwise. Anyone may ask: the log has details."""
    probes = {"database": _database, "storage": _storage}
    pool = ThreadPoolExecutor(len(probes), thread_name_prefix="health")
    waiting = {name: pool.submit(_outcome, name, probe, request) for name, probe in probes.items()}
    checks = {}
    for name, check in waiting.items():
        try:
            checks[name] = check.result(CHECK_SECONDS)
        except WaitTimeout:
            checks[name] = f"No answer within {CHECK_SECONDS:g} s."
    pool.shutdown(wait=False)
    good = all(outcome == "ok" for outcome in checks.values())
    return Answer(
        HealthView(status="ok" if good else "failing", version=VERSION, checks=checks), 200 if good else 503
    )


def _outcome(name: str, probe: Callable[[Deployment], None], request: Request) -> str:
    try:
        probe(request.deployment)
    except SluiceError as exc:
        logger.warning("not ready: %s: %s", name, exc.message)
        return f"The {name} does not answer; see the log."
    except SQLAlchemyError as exc:
        logger.warning("not ready: %s: %s", name, trace_of(exc))
        return f"The {name} answers, but not as it should: is its schema up to date? See the log."
    return "ok"


def _database(deployment: Deployment) -> None:
    with deployment.database.reading() as connection:
        connection.execute(text("SELECT 1 FROM sluice.workflow LIMIT 1"))


def _storage(deployment: Deployment) -> None:
    deployment.blobs.ping()


ENDPOINTS = (
    Endpoint("health_live", "GET", "health/live", "The process answers", live, HealthView, anonymous=True),
    Endpoint(
        "health_ready",
        "GET",
        "health/ready",
        "Dependencies answer",
        ready,
        HealthView,
        also=(503,),
        anonymous=True,
    ),
)
