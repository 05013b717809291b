"""Programs installed below `<project>/.sluice/tools`, each version once and completely or not at all."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kernel.errors import Unavailable
from localhost.services.filelock import locked

_INSTALL_SECONDS = 900


def installed(
    project_root: Path, name: str, lock: Path, progress: Callable[[str], None], fill: Callable[[Path], None]
) -> Path:
    """The folder of the tool that the lock file describes; `fill` installs it into a draft if it is missing.

    The folder appears under its name only when it is complete. Raises what `fill` raises.
    """
    tools = project_root / ".sluice" / "tools"
    target = tools / f"{name.lower()}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    with locked(
        tools / f"{name.lower()}.lock", lambda: progress(f"{name} is being installed by another process.")
    ):
        if not target.exists():
            progress(f"Installing {name} into {tools}, once.")
            draft = tools / f"{name.lower()}.new"
            shutil.rmtree(draft, ignore_errors=True)
            fill(draft)
            draft.rename(target)
    return target


def run_installer(
    command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str], failed: str, remedy: str
) -> None:
    """Run an installer; `Unavailable` with what failed, the installer's own last words and the remedy."""
    try:
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"{failed} ({exc}). {remedy}") from exc
    if run.returncode != 0:
        raise Unavailable(f"{failed}: {run.stderr.strip()[-500:]} {remedy}")
