"""Which addresses are this machine's own, and how a machine in Azure is told."""

from ipaddress import ip_address

AZURE_SIGNS = (
    "WEBSITE_INSTANCE_ID",
    "WEBSITE_SITE_NAME",
    "WEBSITE_POD_NAME",
    "WEBSITE_SKU",
    "WEBSITE_OWNER_NAME",
    "WEBSITE_RESOURCE_GROUP",
    "LEGION_SERVICE_HOST",
    "CONTAINER_APP_NAME",
    "IDENTITY_ENDPOINT",
)
"""Variables that Azure sets for a function app on one of its plans; other machines do not. `CONTAINER_NAME`
is none of them: any container may have it."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without port or brackets, is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
