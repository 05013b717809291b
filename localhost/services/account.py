"""The operating-system account that a server runs as, when it must not run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_NOBODY = 65534


class RunOptions(TypedDict, total=False):
    """Arguments of `subprocess` that change the account; none of them: stay as we are."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A user and its group. Only root may run commands as another account."""

    uid: int
    gid: int

    def can_run(self, command: Path) -> bool:
        """Whether this account can reach and execute the program (asked with `--version`)."""
        try:
            probe = subprocess.run([command, "--version"], cwd="/", capture_output=True, **run_as(self))
        except OSError:
            return False
        return probe.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """Whether this account can get into the folder, through every folder above it."""
        probe = subprocess.run(
            ["/bin/sh", "-c", 'cd "$0"', str(folder)], cwd="/", capture_output=True, **run_as(self)
        )
        return probe.returncode == 0


def run_as(account: Account | None) -> RunOptions:
    """Arguments for `subprocess` to run a command as the account, without our groups; None is ourselves."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def unprivileged() -> Account | None:
    """The account `nobody` if we are root, else None: then servers simply run as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(_NOBODY, _NOBODY)
    return Account(entry.pw_uid, entry.pw_gid)
