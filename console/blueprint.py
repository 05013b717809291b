"""Registers the pages."""

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import azure.durable_functions as df
import azure.functions as func

from commands.deployment import Deployment
from commands.orchestrations import DurableOrchestrations
from console import approval_forms, approval_list, approval_page, sign_in
from console.door import Door
from console.rendering import Rendering
from console.shell import METHODS, Route, respond, served
from console.statics import Statics
from console.tokens import FormTokens
from console.visit import Site, Visit
from kernel.links import Links
from kernel.secrets import Secret

ROUTES = (
    Route("page_approvals", "approvals", approval_list.show),
    Route("page_approval", "approvals/{id}", approval_page.show),
    Route("page_approval_lines", "approvals/{id}/lines.csv", approval_page.download),
    Route("page_approval_confirm", "approvals/{id}/confirm", approval_forms.back, approval_forms.confirm),
    Route("page_approval_decision", "approvals/{id}/decision", approval_forms.back, approval_forms.decision),
    Route("page_approval_comments", "approvals/{id}/comments", approval_forms.back, approval_forms.comments),
    Route(
        "page_approval_reassignment",
        "approvals/{id}/reassignment",
        approval_forms.back,
        approval_forms.reassignment,
    ),
    Route("page_sign_in", "sign-in", sign_in.show, sign_in.sign_in),
    Route("page_sign_out", "sign-out", None, sign_in.sign_out),
)
"""All pages."""

type Serve = Callable[[Visit], func.HttpResponse]


def site_of(deployment: Deployment, door: Door, links: Links, secret: Secret, zone: ZoneInfo) -> Site:
    """What pages work with. The key of their forms is derived from `secret`; times are shown in `zone`."""
    statics = Statics()
    rendering = Rendering(statics, zone, deployment.environment)
    return Site(deployment, door, links, FormTokens(secret), statics, rendering)


def console_blueprint(site: Site) -> df.Blueprint:
    """All pages and what they are made of."""
    blueprint = df.Blueprint()
    for route in ROUTES:
        _register(blueprint, route, site)
    _serve(blueprint, "page_static", "static/{name}", METHODS, site, served)
    return blueprint


def _register(blueprint: df.Blueprint, route: Route, site: Site) -> None:
    _serve(blueprint, route.name, route.path, METHODS, site, lambda visit: respond(route, visit))


def _serve(
    blueprint: df.Blueprint, name: str, path: str, methods: Sequence[str], site: Site, serve: Serve
) -> None:
    @blueprint.function_name(name)
    @blueprint.route(path, methods=list(methods), auth_level=func.AuthLevel.ANONYMOUS)
    @blueprint.durable_client_input(client_name="client")
    def shell(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
        return serve(Visit(req, site, DurableOrchestrations(client)))
