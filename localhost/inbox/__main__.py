"""`python -m localhost.inbox FOLDER SMTP_PORT HTTP_PORT`: the mail catcher, until it is told to end."""

import asyncio
import sys
from pathlib import Path

import uvicorn

from localhost.host.local_only import local_only
from localhost.inbox.mailbox import Mailbox
from localhost.inbox.pages import inbox_app
from localhost.inbox.smtp import Catcher, smtp_protocol
from localhost.services.ports import LOOPBACK


async def _serve(folder: Path, smtp_port: int, http_port: int) -> None:
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    receiving = await loop.create_server(smtp_protocol(Catcher(mailbox)), LOOPBACK, smtp_port)
    pages = uvicorn.Config(
        local_only(inbox_app(mailbox)), host=LOOPBACK, port=http_port, log_level="warning", lifespan="off"
    )
    async with receiving:
        await uvicorn.Server(pages).serve()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
