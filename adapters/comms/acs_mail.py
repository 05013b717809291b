"""Mail by Azure Communication Services.

`POST {endpoint}/emails:send`: learn.microsoft.com/rest/api/communication/dataplane/email/send, version
2023-03-31. Status 202 with `Operation-Location` says that the mail is queued; 409 that a request with the
same `Operation-Id` was taken before. Requests carry an Entra token or are signed with the access key:
HMAC-SHA256 over method, path, date, host and digest of the body, as in the tutorial "Sign an HTTP request
with HMAC". 30 mails a minute and 100 an hour until that is raised; 429 comes with `Retry-After`.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from email.utils import format_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from adapters.comms.mail import Mail, Sender
from adapters.comms.posting import Outgoing, Poster
from adapters.entra_tokens import Tokens
from kernel.clock import Clock
from kernel.errors import AuthenticationFailed
from kernel.secrets import CredentialProvider, Secret

SCOPE = "https://communication.azure.com/.default"
_PATH = "/emails:send?api-version=2023-03-31"
_TAKEN = frozenset({202, 409})


class AccessKey:
    """Signs requests with the access key that is the vault's secret `name`."""

    def __init__(self, credentials: CredentialProvider, name: str, clock: Clock) -> None:
        self._credentials, self._name, self._clock = credentials, name, clock

    def headers(self, url: str, body: bytes) -> Mapping[str, str]:
        """The headers that prove it. Raises `AuthenticationFailed` for what is no key."""
        parts = urlsplit(url)
        date = format_datetime(self._clock(), usegmt=True)
        digest = base64.b64encode(sha256(body).digest()).decode()
        signed = f"POST\n{parts.path}?{parts.query}\n{date};{parts.netloc};{digest}"
        signature = hmac.digest(self._key(self._credentials.secret(self._name)), signed.encode(), "sha256")
        names = "SignedHeaders=x-ms-date;host;x-ms-content-sha256"
        proof = f"HMAC-SHA256 {names}&Signature={base64.b64encode(signature).decode()}"
        return {"x-ms-date": date, "x-ms-content-sha256": digest, "Authorization": proof}

    def _key(self, secret: Secret) -> bytes:
        try:
            return base64.b64decode(secret.reveal(), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise AuthenticationFailed(
                f"The secret {self._name!r} is no access key of Azure Communication Services: store the key "
                "itself, not the connection string."
            ) from exc


class Bearer:
    """Carries a token of this deployment's identity."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def headers(self, _url: str, _body: bytes) -> Mapping[str, str]:
        """The header with the token; raises `AuthenticationFailed`."""
        return {"Authorization": f"Bearer {self._tokens().reveal()}"}


class AcsMail:
    """Hands mail to the resource at `endpoint`."""

    def __init__(self, endpoint: str, sender: Sender, proof: AccessKey | Bearer) -> None:
        self._url = endpoint.rstrip("/") + _PATH
        self._sender, self._proof = sender, proof
        self._poster = Poster("Azure Communication Services")

    def submit(self, mail: Mail) -> None:
        """Hand the mail over; see `Channel.send`."""
        content = json.dumps(self._body(mail)).encode()
        named = {"Operation-Id": str(mail.id), "x-ms-client-request-id": str(mail.id)}
        headers = {**named, **self._proof.headers(self._url, content)}
        self._poster.post(Outgoing(self._url, content, headers, _TAKEN))

    def _body(self, mail: Mail) -> dict[str, Any]:
        return {
            "senderAddress": self._sender.address,
            "content": {"subject": mail.subject, "plainText": mail.text, "html": mail.html},
            "recipients": {"to": [{"address": mail.to}]},
            "headers": {"x-sluice-notification": str(mail.id)},
            "userEngagementTrackingDisabled": True,  # tracking would replace the link by another
        }
