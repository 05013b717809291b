#!/usr/bin/env python3
"""Sluice's launcher: installs what a command needs, then runs it. `python3 dev.py --help` lists the commands.

Standard library only, Python 3.9 or later, Linux and macOS. It installs below the project: `.venv` (Python
packages) and `.sluice/tools` (programs). The settings of pip, uv and npm decide where downloads come from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import NoReturn, Union

Command = Sequence[Union[str, Path]]

ROOT = Path(__file__).resolve().parent
STATE = ROOT / ".sluice"
TOOLS = STATE / "tools"
VENV = ROOT / ".venv"
PYTHON = "3.13"
OLDEST_UV = (0, 8)

HELP = """\
Sluice: a governed workflow runtime on Azure Functions.

usage: python3 dev.py COMMAND [ARGUMENTS]

  demo    run the example: labour records from a file into a ledger, exactly once (options: demo --help)
  start   run the function app with its database and storage on this machine, until Ctrl-C
  test    run the tests; further arguments go to pytest (test tests/unit -k planning)
  check   lint, format, types, import rules, compiled requirements; all of them, then the verdict
  bench   run the benchmarks (bench engines --quick: the same work on this engine and on others)
  lock    compile requirements*.txt from pyproject.toml (lock --upgrade takes newer versions)

The first run downloads packages into .venv and .sluice (a minute or two); removing both undoes it.
"""

# What each command runs in .venv. `demo` stays in the caller's folder: its arguments name files there.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "demo": ("-P", "-m", "localhost", "demo"),
    "start": ("-P", "-m", "localhost", "up"),
    "test": ("-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"),
    "bench": ("-m", "benchmarks"),
}

# Bytecode compiled once lets every later process start a second faster.
SYNC_OPTIONS = ("--require-hashes", "--compile-bytecode")

# Each compiled file with its sources, in the order in which they build on each other.
LOCKS: Mapping[str, tuple[str, ...]] = {
    "requirements.txt": ("pyproject.toml",),
    "requirements-dev.txt": ("pyproject.toml", "--group", "dev", "-c", "requirements.txt"),
    "requirements-node.txt": ("--group", "node"),
    "requirements-peers.txt": ("--group", "peers"),
}

PROBE = """import sys, sysconfig
free_threaded = sysconfig.get_config_var('Py_GIL_DISABLED') or 0
print(sys.implementation.name, '%d.%d' % sys.version_info[:2], free_threaded)"""


class Failure(Exception):
    """What went wrong and what to do about it, in one or two sentences."""


def say(text: str) -> None:
    """Progress goes to stderr: stdout belongs to the command."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    command, *rest = arguments or ["help"]
    if command in {"help", "-h", "--help"} or (command in {"check", "lock"} and {"-h", "--help"} & set(rest)):
        print(HELP, end="")
        return 0
    if command in PROGRAMS:
        run_program(command, rest)
    if command == "check" and not rest:
        return check()
    if command == "lock":
        return lock(rest)
    say(f"There is no command `{' '.join(arguments)}`: `python3 dev.py --help` lists what there is.")
    return 2


def run_program(command: str, arguments: Sequence[str]) -> NoReturn:
    """Become the command's program, so that signals reach it and its exit code is ours."""
    program = PROGRAMS[command]
    if command == "bench" and not (ROOT / "benchmarks" / "__main__.py").exists():
        raise Failure("This copy of the project has no benchmarks: take a complete one to run them.")
    python = environment_python()
    environment = {**clean_environment(), **({"PYTHONPATH": str(ROOT)} if "-P" in program else {})}
    if command != "demo":
        os.chdir(ROOT)
    os.execve(python, [str(python), *program, *arguments], environment)  # noqa: S606 - no shell is the point


def clean_environment() -> dict[str, str]:
    """Our environment without what belongs to the Python that runs this file."""
    foreign = {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in foreign}


def environment_python(venv: Path = VENV, requirements: str = "requirements-dev.txt") -> Path:
    """The Python of an environment, which is created or brought up to date first if it has to be."""
    python, stamp, wanted = venv / "bin" / "python", venv / "sluice-stamp", environment_stamp(requirements)
    if read(stamp) == wanted and python.exists():
        return python
    with locked(STATE / "dev.lock"):
        if read(stamp) != wanted or not python.exists():
            begin = time.monotonic()
            update_environment(venv, requirements, wanted)
            say(f"Python packages are ready ({time.monotonic() - begin:.0f} s).")
    return python


def environment_stamp(requirements: str) -> str:
    """What an environment must have been made from: the lock, the Python version and this place."""
    lock_file = read(ROOT / requirements)
    if lock_file is None:
        raise Failure(f"{requirements} cannot be read: run `git checkout {requirements}`.")
    return f"{hashlib.sha256(lock_file.encode()).hexdigest()} {PYTHON} {ROOT}"


def update_environment(venv: Path, requirements: str, wanted: str) -> None:
    """Install the locked packages; start afresh if `venv` is broken, was left half-made or has moved."""
    python, stamp, name = venv / "bin" / "python", venv / "sluice-stamp", os.path.relpath(venv, ROOT)
    uv, before = find_uv(), read(stamp)
    if (before is not None and not before.endswith(f" {ROOT}")) or not is_python(python):
        say(f"Making {name}.")
        shutil.rmtree(venv, ignore_errors=True)
        create: Command = [uv, "venv", "--quiet", "--no-project", "--python", find_python(uv), venv]
        install(create, f"{name} cannot be created")
    say(f"Installing Python packages into {name}.")
    stamp.write_text("half-made")
    sync: Command = [uv, "pip", "sync", *SYNC_OPTIONS, "--python", python, requirements]
    install(sync, "The Python packages cannot be installed")
    stamp.write_text(wanted)


def read(path: Path) -> str | None:
    """The text of a file, or None without one."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file that ends with its process; two launchers install one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another dev.py, which is installing.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(command: Command, failed: str) -> None:
    """Run an installer and show its progress; `failed` says what could not be done if it fails."""
    code = subprocess.run(command, cwd=ROOT, env=clean_environment(), stdout=sys.stderr).returncode
    if code != 0:
        raise Failure(
            f"{failed} (exit code {code}, reason above): check the network, the disk space and the package "
            "index that uv uses on this machine, then run the same command again."
        )


def answers(command: Command) -> str | None:
    """What a program prints, or None if it fails; a program that hangs has failed."""
    env = clean_environment()
    try:
        return subprocess.check_output(command, env=env, stdin=DEVNULL, stderr=DEVNULL, text=True, timeout=60)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def is_python(program: Path) -> bool:
    """Whether the program runs and is a CPython of our version, not the free-threaded kind."""
    return (answers([program, "-I", "-c", PROBE]) or "").split() == ["cpython", PYTHON, "0"]


def on_path(*names: str) -> Iterator[Path]:
    """Every program of these names on PATH: the first may be a version manager's shim that fails."""
    for name in names:
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            program = Path(folder, name)
            if folder and os.access(program, os.X_OK) and VENV not in program.parents:
                yield program


def find_python(uv: Path) -> Path:
    """A Python of the version we need; installed now, by uv, if this machine has none."""
    for candidate in python_candidates(uv):
        if is_python(candidate):
            return candidate
    raise Failure(
        f"Python {PYTHON} is needed, and this machine has none that works nor could uv install one: install "
        f"Python {PYTHON} (from your system's packages, Homebrew or pyenv), then run the same command again."
    )


def python_candidates(uv: Path) -> Iterator[Path]:
    """Where a Python may be, most likely places first; the last is made only when it is asked for."""
    yield from on_path(f"python{PYTHON}", "python3", "python")
    yield from uv_python(uv)
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    yield from sorted(pyenv.glob(f"{PYTHON}*/bin/python{PYTHON}"), reverse=True)
    say(f"Installing Python {PYTHON}.")
    subprocess.run([uv, "python", "install", PYTHON], cwd=ROOT, env=clean_environment(), stdout=sys.stderr)
    yield from uv_python(uv)


def uv_python(uv: Path) -> Iterator[Path]:
    """The Python that uv knows of, if any."""
    found = answers([uv, "python", "find", "--system", "--no-project", "--no-python-downloads", PYTHON])
    yield from map(Path, (found or "").strip().splitlines())


def find_uv() -> Path:
    """A working uv: the machine's, else our own copy, which is installed now if it is missing."""
    own = TOOLS / "uv" / "bin" / "uv"
    for candidate in (*on_path("uv"), own):
        if uv_version(candidate) >= OLDEST_UV:
            return candidate
    say("Installing uv into .sluice/tools.")
    work, reason = TOOLS / "uv.new", "there is no pip"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for pip in pips(work):
        reason = install_uv(pip, work / "uv")
        if not reason:
            shutil.rmtree(own.parents[1], ignore_errors=True)
            (work / "uv").rename(own.parents[1])
            shutil.rmtree(work)
            return own
    raise Failure(
        f"uv, the package installer, is not here and could not be installed ({reason}): check the network, "
        "or install pip (Debian and Ubuntu: `sudo apt install python3-pip`) or uv itself."
    )


def uv_version(program: Path) -> tuple[int, ...]:
    """The version of a uv, (0,) if it does not run."""
    match = re.match(r"uv (\d+)\.(\d+)", answers([program, "--version"]) or "")
    return tuple(int(part) for part in match.groups()) if match else (0,)


def install_uv(pip: Command, target: Path) -> str:
    """Install uv with this pip; answers why it failed, for example with a pip that is too old, or nothing."""
    shutil.rmtree(target, ignore_errors=True)
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    # A user's pip settings for ordinary installs must not stop an install into a folder.
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    said = complaint([*pip, "install", *options, "--target", target, "uv"], settings)
    works = uv_version(target / "bin" / "uv") >= OLDEST_UV
    return said.splitlines()[-1] if said else "" if works else "the installed uv does not run"


def pips(work: Path) -> Iterator[Command]:
    """Commands that run a pip, the likeliest first; later ones are made only when they are asked for."""
    found = [Path(sys.executable), *on_path("python3", f"python{PYTHON}", "python")]
    pythons = list({python.resolve(): python for python in found}.values())
    for python in pythons:
        if answers([python, "-m", "pip", "--version"]):
            yield [python, "-m", "pip"]
    for number, python in enumerate(pythons):
        venv = work / f"venv-{number}"
        if answers([python, "-m", "venv", venv]) is not None:
            yield [venv / "bin" / "python", "-m", "pip"]
    for wheel in debian_pips(work):
        yield [sys.executable, wheel / "pip"]


def debian_pips(work: Path) -> list[Path]:
    """The pip that Debian and Ubuntu package for venvs: installed ones, else unpacked, without root."""
    shared = "usr/share/python-wheels"
    if not any(Path("/", shared).glob("pip-*.whl")) and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        fetch_debian_pip(work)
    return [*Path("/", shared).glob("pip-*.whl"), *(work / shared).glob("pip-*.whl")]


def fetch_debian_pip(work: Path) -> None:
    """Unpack Debian's package of pip into `work`, with package lists of our own if the system has none."""
    (work / "lists" / "partial").mkdir(parents=True)
    private = ["-o", f"Dir::State::Lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}"]
    apt = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root"]  # `work` is not open to its own user
    download = ["download", "python3-pip-whl"]
    for step in (download, [*private, "update"], [*private, *download]):
        subprocess.run([*apt, *step], cwd=work, stdin=DEVNULL, stdout=sys.stderr)
        for package in work.glob("python3-pip-whl_*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, work], stdout=sys.stderr)
            return


def lock(arguments: Sequence[str]) -> int:
    """Compile the requirements files; further arguments go to uv."""
    uv = ensured_uv()
    for name in LOCKS:
        say(f"Compiling {name}.")
        install([*compile_command(uv, name, ROOT / name), *arguments], f"{name} cannot be compiled")
    return 0


def ensured_uv() -> Path:
    """uv, found or installed by one launcher at a time."""
    with locked(STATE / "dev.lock"):
        return find_uv()


def compile_command(uv: Path, name: str, output: Path) -> Command:
    """How to compile one requirements file; versions that `output` already has are kept where they fit."""
    options = ["--quiet", "--universal", "--generate-hashes", "--no-header", "--no-emit-index-annotation"]
    return [uv, "pip", "compile", *options, "--python-version", PYTHON, *LOCKS[name], "--output-file", output]


def check() -> int:
    """Run every check, say how each went, and answer 1 if one failed."""
    python = environment_python()
    checks: dict[str, Callable[[], str]] = {
        "lint": partial(complaint, [python, "-m", "ruff", "check", "."]),
        "format": partial(complaint, [python, "-m", "ruff", "format", "--check", "."]),
        "types": partial(complaint, [python, "-m", "mypy", *sources()]),
        "import rules": partial(complaint, [python.with_name("lint-imports")]),
        **{name: partial(outdated, name) for name in LOCKS},
    }
    failed = 0
    for name, run in checks.items():
        begin = time.monotonic()
        text = run()
        verdict = f"{'failed' if text else 'ok':8}{name:24}{time.monotonic() - begin:6.1f} s"
        print(f"{verdict}\n\n{text}\n" if text else verdict, flush=True)
        failed += bool(text)
    print(f"{failed} of {len(checks)} checks failed." if failed else "All checks passed.")
    return 1 if failed else 0


def complaint(command: Command, settings: Mapping[str, str] | None = None) -> str:
    """What a program prints when it fails, and nothing if it is content."""
    environment = {**clean_environment(), **(settings or {})}
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=PIPE, stderr=STDOUT, text=True)
    return (run.stdout.strip() or f"It ended with code {run.returncode}.") if run.returncode else ""


def sources() -> list[str]:
    """Everything at the top of the project that holds Python code of ours."""
    visible = [path for path in sorted(ROOT.iterdir()) if not path.name.startswith((".", "_"))]
    return [path.name for path in visible if path.suffix == ".py" or any(path.glob("**/*.py"))]


def outdated(name: str) -> str:
    """Why a compiled requirements file does not fit pyproject.toml, and nothing if it does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, name)
        shutil.copyfile(ROOT / name, copy)
        unable = complaint(compile_command(ensured_uv(), name, copy))
        if unable:
            return f"{unable}\nThis needs the package index: without a network it cannot be checked."
        if copy.read_bytes() == (ROOT / name).read_bytes():
            return ""
    return f"{name} does not fit pyproject.toml: run `python3 dev.py lock` and commit what it changes."


def entry() -> int:
    """Run `main` on the command line; every failure that is not our own fault becomes a sentence."""
    if sys.version_info < (3, 9):  # noqa: UP036 - it says so itself to whoever tries
        say("Python 3.9 or later is needed: run it with a newer python3.")
        return 1
    # As an exception, so that the installer that is running is ended too.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Failure as exc:
        say(str(exc))
    except OSError as exc:
        say(f"{exc.strerror or exc} ({exc.filename or ROOT}): check the permissions and the free disk space.")
    return 1


if __name__ == "__main__":
    sys.exit(entry())
