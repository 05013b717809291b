"""An ASGI app behind one function."""

from contextlib import asynccontextmanager

import azure.functions as func
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@asynccontextmanager
async def lifespan(application):
    yield {"started": True}
    print("the ASGI app has ended", flush=True)


async def show(request: Request) -> JSONResponse:
    return JSONResponse(
        {
            "path": request.url.path,
            "query": request.url.query,
            "state": request.state.started,
            "body": (await request.body()).decode(),
            "function": request.scope["azure_functions.function_name"],
        }
    )


async def fail(request: Request) -> Response:
    raise RuntimeError("inside the ASGI app")


application = Starlette(
    routes=[
        Route("/show/{name}", show, methods=["GET", "POST"]),
        Route("/fail", fail),
        Route("/", show),
    ],
    lifespan=lifespan,
)
app = func.AsgiFunctionApp(app=application, http_auth_level=func.AuthLevel.ANONYMOUS)
