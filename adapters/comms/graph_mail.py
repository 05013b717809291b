"""Mail by Microsoft Graph, in the name of one mailbox.

`POST /users/{mailbox}/sendMail`: learn.microsoft.com/graph/api/user-sendmail. Status 202 says that the mail
was accepted. The application needs `Mail.Send`, best limited to that mailbox by role based access control for
applications. 10,000 requests in 10 minutes and 4 at once for each mailbox; 429 comes with `Retry-After`.
"""

import json
from typing import Any
from urllib.parse import quote

from adapters.comms.mail import Mail, Sender
from adapters.comms.posting import Outgoing, Poster
from adapters.entra_tokens import Tokens

GRAPH = "https://graph.microsoft.com"


class GraphMail:
    """Hands mail to Graph."""

    def __init__(self, sender: Sender, tokens: Tokens, base: str = GRAPH) -> None:
        self._sender, self._tokens = sender, tokens
        self._url = f"{base}/v1.0/users/{quote(sender.address, safe='')}/sendMail"
        self._poster = Poster("Microsoft Graph")

    def submit(self, mail: Mail) -> None:
        """Hand the mail over; see `Channel.send`."""
        headers = {
            "Authorization": f"Bearer {self._tokens().reveal()}",
            "client-request-id": str(mail.id),
            "return-client-request-id": "true",
        }
        content = json.dumps(self._body(mail)).encode()
        self._poster.post(Outgoing(self._url, content, headers, frozenset({202})))

    def _body(self, mail: Mail) -> dict[str, Any]:
        message = {
            "subject": mail.subject,
            "body": {"contentType": "HTML", "content": mail.html},
            "toRecipients": [{"emailAddress": {"address": mail.to}}],
            "internetMessageId": self._sender.message_id(mail),
            "internetMessageHeaders": [  # only names that begin with x- are accepted
                {"name": "x-sluice-notification", "value": str(mail.id)},
                {"name": "x-auto-response-suppress", "value": "All"},
            ],
        }
        return {"message": message, "saveToSentItems": False}
