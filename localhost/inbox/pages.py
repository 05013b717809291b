"""The inbox in the browser. A mail's HTML is shown in a frame that can run nothing and load nothing."""

from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from localhost.inbox.mailbox import Caught, Mailbox

_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_OURS = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"
_THEIRS = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:960px;padding:16px;color:#1f2328}
a{color:#0b57d0}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:8px;
border-bottom:1px solid #d5dae0;vertical-align:top;overflow-wrap:anywhere}
iframe{width:100%;height:75vh;border:1px solid #d5dae0;background:#fff}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}a{color:#79b8ff}}
"""
_HEADERS = ("Subject", "From", "To", "Date", "Message-ID")


def inbox_app(mailbox: Mailbox) -> Starlette:
    """The pages, and the same as JSON below `/api/mails`."""

    async def index(_request: Request) -> Response:
        rows = "".join(_row(mail) for mail in mailbox.all())
        head = "<tr><th>Received</th><th>To</th><th>Subject</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else "<p>No mail has come yet.</p>"
        return _page("Inbox", f"<h1>Inbox</h1>{table}")

    async def listed(request: Request) -> Response:
        to = request.query_params.get("to")
        mails = [mail for mail in mailbox.all() if to is None or to in mail.recipients]
        return JSONResponse({"items": [_summary(mail) for mail in mails]}, headers=_SAFE)

    async def shown(request: Request) -> Response:
        mail, form = mailbox.get(request.path_params["id"]), request.path_params.get("form", "page")
        if mail is None or form not in _FORMS:
            return PlainTextResponse("There is no such mail.", status_code=404, headers=_SAFE)
        return _FORMS[form](mail)

    async def one(request: Request) -> Response:
        mail = mailbox.get(request.path_params["id"])
        if mail is None:
            return JSONResponse({"detail": "There is no such mail."}, status_code=404, headers=_SAFE)
        return JSONResponse(_detail(mail), headers=_SAFE)

    routes = [
        Route("/", index),
        Route("/api/mails", listed),
        Route("/api/mails/{id}", one),
        Route("/mails/{id}", shown),
        Route("/mails/{id}/{form}", shown),
    ]
    return Starlette(routes=routes)


def _page(title: str, body: str) -> Response:
    head = (
        f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    )
    html = (
        f"<!DOCTYPE html><html lang=en><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    return HTMLResponse(html, headers={**_SAFE, "Content-Security-Policy": _OURS})


def _row(mail: Caught) -> str:
    subject = escape(mail.header("Subject")) or "(no subject)"
    link = f"<a href='/mails/{mail.id}'>{subject}</a>"
    cells = (f"{mail.received_at:%d %b %H:%M:%S}", escape(", ".join(mail.recipients)), link)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _mail_page(mail: Caught) -> Response:
    rows = "".join(f"<tr><th>{name}</th><td>{escape(mail.header(name))}</td></tr>" for name in _HEADERS)
    here = f"/mails/{mail.id}"
    forms = (
        f"<a href='{here}/text'>Text</a> · <a href='{here}/html'>HTML</a> · <a href='{here}/raw'>Source</a>"
    )
    frame = (
        f"<iframe title='The mail' src='{here}/html' "
        "sandbox='allow-popups allow-popups-to-escape-sandbox'></iframe>"
    )
    body = f"<p><a href='/'>Inbox</a> · {forms}</p><table>{rows}</table>{frame}"
    return _page(mail.header("Subject"), body)


def _html(mail: Caught) -> Response:
    html = mail.part("html") or f"<pre>{escape(mail.part('plain'))}</pre>"
    return HTMLResponse(html, headers={**_SAFE, "Content-Security-Policy": _THEIRS})


def _text(mail: Caught) -> Response:
    return PlainTextResponse(mail.part("plain"), headers=_SAFE)


def _raw(mail: Caught) -> Response:
    return PlainTextResponse(mail.raw.decode("utf-8", "replace"), headers=_SAFE)


_FORMS = {"page": _mail_page, "html": _html, "text": _text, "raw": _raw}


def _summary(mail: Caught) -> dict[str, object]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "to": mail.recipients,
        "subject": mail.header("Subject"),
        "message_id": mail.header("Message-ID"),
    }


def _detail(mail: Caught) -> dict[str, object]:
    headers = {name: str(value) for name, value in mail.message.items()}
    return {**_summary(mail), "headers": headers, "text": mail.part("plain"), "html": mail.part("html")}
