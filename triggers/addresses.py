"""From where a request came."""

import ipaddress

import azure.functions as func


def client_address(request: func.HttpRequest) -> str | None:
    """The network address of the caller as the platform's front end saw it; `None` when it does not say.

    The front end appends it to `X-Forwarded-For`, perhaps with a port; what stands before it may be invented.
    """
    last = (request.headers.get("X-Forwarded-For") or "").rpartition(",")[2].strip()
    for text in (last, last.rpartition(":")[0], last.rpartition(":")[0].strip("[]")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return None
