"""Requests as the host hands them over."""

import azure.functions as func


def request(
    method: str = "GET", url: str = "http://localhost:7071/api/runs", **headers: str
) -> func.HttpRequest:
    """A request; `_` in names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpRequest(method=method, url=url, headers=named, body=b"")


def bearing(token: str) -> func.HttpRequest:
    """A request with a bearer token."""
    return request(Authorization=f"Bearer {token}")
