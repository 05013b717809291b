"""Which web pages may call the app, as `--cors` and `Host.CORS` of local.settings.json say."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp


def allow_origins(application: ASGIApp, origins: Sequence[str], *, credentials: bool) -> ASGIApp:
    """`application` with CORS headers for `origins`; unchanged if there are none."""
    if not origins:
        return application
    return CORSMiddleware(
        application,
        allow_origins=list(origins),
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=credentials,
    )
