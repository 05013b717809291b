"""A real OpenID provider, `oidc-provider` from npm, in the place of Entra ID."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx2

from localhost.services.node import Node, find_node
from localhost.services.ports import free_port
from localhost.services.toolbox import installed, run_installer

PROJECT = Path(__file__).resolve().parents[3]
TENANT = "1b2c3d4e-0000-4000-8000-00000000000a"
AUDIENCE = "api://sluice"
_FOLDER = Path(__file__).parent


class Issuer:
    """The running provider. `authority` is what the setting SLUICE_AUTHORITY would be."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.authority = f"http://127.0.0.1:{port}"

    def token(self, claims: dict[str, Any], algorithm: str = "RS256", audience: str = AUDIENCE) -> str:
        """An access token with these claims of ours."""
        self._order({"claims": claims, "alg": algorithm})
        form = {"grant_type": "client_credentials", "resource": audience, "scope": "all"}
        url = f"{self.authority}/{TENANT}/v2.0/token"
        answer = httpx2.post(url, data=form, auth=("tests", "tests-secret"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def rotate(self) -> None:
        """From here on it signs with new keys, and knows the old ones no more."""
        self._order({"rotate": True})

    def _order(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        while self._process.stdout.readline().strip() != "done":
            assert self._process.poll() is None, "the provider has ended"


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """The provider, started and stopped. Raises `Unavailable` when it cannot be installed."""
    node = find_node(PROJECT, print)
    folder = installed(
        PROJECT, "oidc-provider", _FOLDER / "npm" / "package-lock.json", print, partial(_install, node)
    )
    port = free_port()
    program = folder / "server.mjs"
    program.write_bytes((_FOLDER / "server.mjs").read_bytes())
    with subprocess.Popen(
        [node.program, program, str(port), TENANT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline().strip()) != "ready":
            assert process.poll() is None, line
        yield Issuer(process, port)
        process.terminate()


def _install(node: Node, draft: Path) -> None:
    copytree(_FOLDER / "npm", draft)
    run_installer(
        [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        folder=draft,
        environment=node.environment(),
        failed="oidc-provider could not be installed from npm",
        remedy="Check the network and npm's registry setting, then try again.",
    )
