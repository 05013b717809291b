"""One deployment and one browser for all tests of a module."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import copytree

import pytest
from playwright.sync_api import Browser, sync_playwright

from localhost.services.node import Node, find_node
from localhost.services.stack import Endpoints
from localhost.services.toolbox import installed, run_installer
from tests.browser import chromium
from tests.browser.deployed import ROOT, Deployed, deployed

_NPM = Path(__file__).parent / "npm"
PICTURES = ROOT / ".sluice" / "artifacts" / "pages"
DESK, PHONE = 1280, 360
# Nothing but the pages: no look-ups of its own, and no sandbox where the system forbids one to root.
_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what is missing once it is known that a test wants it: downloads are no test's fault."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "browser" in wanted:
        chromium.install(print)
    if "axe" in wanted:
        axe_core()


@pytest.fixture(scope="module")
def site(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The application, served."""
    with deployed(stack, tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or one like it. While Playwright runs, nothing else in this process can use asyncio:
    it ends with the module."""
    program = chromium.find()
    if program is None:
        pytest.skip(chromium.missing())
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=list(_OPTIONS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which finds what keeps people from using a page."""
    return (axe_core() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def axe_core() -> Path:
    """The folder in which axe-core is installed."""
    node = find_node(ROOT, print)
    lock = _NPM / "package-lock.json"
    return installed(ROOT, "axe-core", lock, print, partial(_install, node))


def _install(node: Node, draft: Path) -> None:
    copytree(_NPM, draft)
    run_installer(
        [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        folder=draft,
        environment=node.environment(),
        failed="axe-core could not be installed from npm",
        remedy="Check the network and npm's registry setting, then try again.",
    )
