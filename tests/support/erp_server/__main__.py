"""`python -m tests.support.erp_server --port 0 --state FILE --ready-file FILE`."""

import argparse
import socket
from pathlib import Path

import uvicorn

from tests.support.erp_server.app import make_app


def main() -> None:
    """Serve on the loopback address until told to stop; the ready file has the port once it listens."""
    options = argparse.ArgumentParser(prog="erp_server", description=__doc__)
    options.add_argument("--port", type=int, default=0, help="0 takes any free port")
    options.add_argument("--state", type=Path, required=True, help="the ledger, kept over restarts")
    options.add_argument("--ready-file", type=Path, required=True, help="gets the port")
    given = options.parse_args()
    listener = socket.create_server(("127.0.0.1", given.port), backlog=128)
    app = make_app(given.state)
    partial = given.ready_file.with_suffix(".partial")
    partial.write_text(str(listener.getsockname()[1]))
    partial.rename(given.ready_file)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
