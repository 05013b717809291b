"""A WSGI app behind one function."""

import azure.functions as func
from werkzeug import Request, Response


@Request.application
def application(request: Request) -> Response:
    if request.path == "/missing":
        return Response("no such page", status=404)
    text = f"{request.method} {request.path} {request.args.get('x')} {request.get_data(as_text=True)}"
    return Response(text, headers={"x-kind": "wsgi"})


app = func.WsgiFunctionApp(app=application, http_auth_level=func.AuthLevel.ANONYMOUS)
