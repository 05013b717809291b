"""Chromium for tests: one that is here, or Debian's, which is installed when that can be done."""

import os
import shutil
import subprocess
from collections.abc import Callable

from localhost.services.filelock import locked
from tests.support.services import PROJECT

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ENOUGH_SECONDS = 600


def find() -> str | None:
    """A program on the PATH."""
    return next((found for name in _PROGRAMS if (found := shutil.which(name))), None)


def install(progress: Callable[[str], None]) -> None:
    """Install it when there is none, and we are root on a system with Debian's packages."""
    if find() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    lock = PROJECT / ".sluice" / "tools" / "chromium.lock"
    with locked(lock, lambda: progress("Chromium is being installed by another process.")):
        if not find():
            progress("Installing Debian's Chromium, once.")
            for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
                _apt(command)


def _apt(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "-qq", *command],
        env=environment,
        capture_output=True,
        timeout=_ENOUGH_SECONDS,
        check=False,
    )


def missing() -> str:
    """Why there is none, and what to do."""
    return f"There is no Chromium here, and it could not be installed: install one of {', '.join(_PROGRAMS)}."
