"""The launcher, run as people run it: as a program, in a small project, with a stand-in for uv."""

import ast
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import dev
from localhost.services.daemon import is_alive
from tests.support.eventually import eventually

LAUNCHER = Path(dev.__file__)
PYTHON = str(Path(sys.executable).resolve())

# Does what uv does to the file system, and keeps a record. `sync-fails` and `sync-hangs` are switches.
UV = f"""#!/bin/sh
here=$(dirname "$0")
[ "$1" = --version ] && echo "uv 99.1.0 (test)" && exit 0
echo "$1 $2" >> "$here/calls"
case "$1 $2" in
  venv*) for place; do :; done; mkdir -p "$place/bin" && ln -s {PYTHON} "$place/bin/python" ;;
  "pip sync")
    [ -e "$here/sync-fails" ] && echo "no route to the index" >&2 && exit 2
    [ -e "$here/sync-hangs" ] && echo $$ > "$here/pid" && exec sleep 60
    echo "Installed 3 packages" ;;
  "pip compile")
    for place; do :; done
    [ -e "$here/compile-fails" ] && echo "no route to the index" >&2 && exit 2
    [ -e "$here/compile-changes" ] && echo "newer==2" >> "$place" ;;
esac
exit 0
"""

MAIN = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "process": os.getpid()}))
sys.exit(7)
"""


@dataclass(frozen=True)
class Project:
    """A project folder with the launcher in it, and the folder of the stand-in for uv."""

    root: Path
    programs: Path

    def popen(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start the launcher."""
        return subprocess.Popen(
            [PYTHON, self.root / "dev.py", *arguments],
            cwd=cwd or self.root,
            env={
                "PATH": f"{self.programs}:/usr/bin:/bin",
                "HOME": str(self.root),
                "VIRTUAL_ENV": "/elsewhere",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the launcher to its end."""
        with self.popen(*arguments, cwd=cwd) as process:
            out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def calls(self) -> list[str]:
        """What uv was asked for so far."""
        record = self.programs / "calls"
        return record.read_text().splitlines() if record.exists() else []

    def switch(self, name: str, on: bool = True) -> None:
        """Make the stand-in for uv misbehave."""
        (self.programs / name).touch() if on else (self.programs / name).unlink()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root, programs = tmp_path / "project", tmp_path / "programs"
    (root / "localhost").mkdir(parents=True)
    (root / "localhost" / "__main__.py").write_text(MAIN)
    for name in dev.LOCKS:
        (root / name).write_text("package==1\n")
    shutil.copy(LAUNCHER, root)
    program(programs / "uv", UV)
    program(programs / "python3.13", f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    return Project(root, programs)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_it_is_python_39_and_imports_the_standard_library_only() -> None:
    tree = ast.parse(LAUNCHER.read_text(), feature_version=(3, 9))
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module))
    assert modules
    assert {name.partition(".")[0] for name in modules} <= set(sys.stdlib_module_names)


def test_it_runs_on_every_python_of_this_machine(project: Project) -> None:
    pythons = [*dev.on_path("python3"), *Path("~/.pyenv/versions").expanduser().glob("3.9*/bin/python3")]
    for python in pythons:
        if (
            dev.answers([python, "-c", "import sys; print(sys.version_info >= (3, 9))"]) or ""
        ).strip() == "True":
            assert dev.answers([python, project.root / "dev.py", "--help"]) == dev.HELP


def test_it_names_no_package_index() -> None:
    assert "://" not in LAUNCHER.read_text()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"], ["check", "--help"]])
def test_help_lists_every_command(project: Project, arguments: Sequence[str]) -> None:
    run = project.run(*arguments)
    assert run.returncode == 0
    assert {line.split()[0] for line in run.stdout.splitlines() if line.startswith("  ")} >= {
        *dev.PROGRAMS,
        "check",
        "lock",
    }


def test_an_unknown_command_is_named(project: Project) -> None:
    run = project.run("destroy", "--all")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "dev.py: There is no command `destroy --all`: `python3 dev.py --help` lists what there is.\n"
    )


def test_the_first_run_installs_and_becomes_the_command(project: Project, tmp_path: Path) -> None:
    with project.popen("demo", "--json", "--input", "here.csv", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert json.loads(out) == {
        "arguments": ["demo", "--json", "--input", "here.csv"],
        "folder": str(tmp_path),
        "process": process.pid,
    }
    assert "Installing Python packages" in err
    assert "Installed 3 packages" in err
    assert project.calls() == ["venv --quiet", "pip sync"]


def test_start_runs_in_the_project(project: Project, tmp_path: Path) -> None:
    answer = json.loads(project.run("start", "--port", "7071", cwd=tmp_path).stdout)
    assert (answer["arguments"], answer["folder"]) == (["up", "--port", "7071"], str(project.root))


def test_the_second_run_asks_nobody(project: Project) -> None:
    project.run("start")
    before = project.calls()
    run = project.run("start")
    assert (run.returncode, run.stderr, project.calls()) == (7, "", before)


def test_a_changed_lock_is_installed_into_the_same_environment(project: Project) -> None:
    project.run("start")
    (project.root / "requirements-dev.txt").write_text("package==2\n")
    assert project.run("start").returncode == 7
    assert project.calls() == ["venv --quiet", "pip sync", "pip sync"]


def test_a_failed_install_is_explained_and_then_done_afresh(project: Project) -> None:
    project.switch("sync-fails")
    run = project.run("start")
    assert run.returncode == 1
    assert "no route to the index" in run.stderr
    assert "cannot be installed (exit code 2, reason above): check the network" in run.stderr
    (project.root / ".venv" / "half-written").touch()
    project.switch("sync-fails", on=False)
    assert project.run("start").returncode == 7
    assert not (project.root / ".venv" / "half-written").exists()
    assert project.calls() == ["venv --quiet", "pip sync"] * 2


def test_an_environment_without_its_python_is_made_again(project: Project) -> None:
    project.run("start")
    python = project.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.13")
    assert project.run("start").returncode == 7
    assert project.calls() == ["venv --quiet", "pip sync"] * 2


def test_an_environment_of_another_python_is_made_again(project: Project) -> None:
    program(project.root / ".venv" / "bin" / "python", "#!/bin/sh\necho cpython 3.12 0\n")
    assert project.run("start").returncode == 7
    assert project.calls() == ["venv --quiet", "pip sync"]


def test_a_moved_project_gets_a_new_environment(project: Project) -> None:
    project.run("start")
    moved = Project(project.root.rename(project.root.with_name("moved")), project.programs)
    assert moved.run("start").returncode == 7
    assert project.calls() == ["venv --quiet", "pip sync"] * 2


def test_two_launchers_install_once(project: Project) -> None:
    both = [project.popen("start") for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [7, 7]
    assert project.calls() == ["venv --quiet", "pip sync"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Processes that are started can be interrupted, also where a shell started the tests in the background
    and had SIGINT ignored, which is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_launcher_and_its_installer(
    project: Project, kind: signal.Signals, code: int
) -> None:
    project.switch("sync-hangs")
    note = project.programs / "pid"
    with project.popen("start") as process:
        installer = psutil.Process(
            int(eventually(lambda: note.read_text() if note.exists() else None, what="the installer runs"))
        )
        process.send_signal(kind)
        _out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not is_alive(installer)
    project.switch("sync-hangs", on=False)
    assert project.run("start").returncode == 7


def test_a_missing_lock_is_a_sentence(project: Project) -> None:
    (project.root / "requirements-dev.txt").unlink()
    run = project.run("test")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        "dev.py: requirements-dev.txt cannot be read: run `git checkout requirements-dev.txt`.\n"
    )


def test_a_folder_that_cannot_be_made_is_a_sentence(project: Project) -> None:
    (project.root / ".sluice").write_text("a file where a folder belongs")
    run = project.run("test")
    assert run.returncode == 1
    assert run.stderr.startswith("dev.py: ")
    assert "check the permissions and the free disk space" in run.stderr


def test_benchmarks_that_are_not_there_are_a_sentence(project: Project) -> None:
    run = project.run("bench")
    assert (run.returncode, run.stdout) == (1, "")
    assert "has no benchmarks: take" in run.stderr


@pytest.fixture
def checked(project: Project) -> Project:
    """A project whose .venv has stand-ins for the tools: all are content, mypy unless `types-fail` exists."""
    python = f"""#!/bin/sh
[ "$1" = -I ] && exec {PYTHON} "$@"
[ "$2" = mypy ] && [ -e "{project.programs}/types-fail" ] && echo "line 3: wrong" && exit 1
exit 0
"""
    program(project.root / ".venv" / "bin" / "python", python)
    program(project.root / ".venv" / "bin" / "lint-imports", "#!/bin/sh\nexit 0\n")
    return project


def test_check_reports_every_check(checked: Project) -> None:
    run = checked.run("check")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 8
    assert lines[-1] == "All checks passed."


def test_check_goes_on_after_a_failure_and_shows_its_text(checked: Project) -> None:
    checked.switch("types-fail")
    checked.switch("compile-changes")
    before = (checked.root / "requirements.txt").read_text()
    run = checked.run("check")
    assert run.returncode == 1
    verdicts = [line.split()[0] for line in run.stdout.splitlines() if line.startswith(("ok  ", "failed  "))]
    assert verdicts == ["ok", "ok", "failed", "ok", *["failed"] * 4]
    assert "line 3: wrong" in run.stdout
    assert "requirements.txt does not fit pyproject.toml: run `python3 dev.py lock`" in run.stdout
    assert run.stdout.endswith("5 of 8 checks failed.\n")
    assert (checked.root / "requirements.txt").read_text() == before


def test_check_without_a_network_says_so(checked: Project) -> None:
    checked.switch("compile-fails")
    run = checked.run("check")
    assert run.returncode == 1
    assert "no route to the index" in run.stdout
    assert "without a network it cannot be checked" in run.stdout


def test_lock_compiles_in_order(project: Project) -> None:
    project.switch("compile-changes")
    assert project.run("lock").returncode == 0
    assert project.calls() == ["pip compile"] * 4
    assert (project.root / "requirements-node.txt").read_text() == "package==1\nnewer==2\n"


def test_a_shim_that_fails_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path / "shims" / "python3.13", "#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n"
    )
    program(tmp_path / "old" / "python3", "#!/bin/sh\necho cpython 3.12 0\n")
    program(tmp_path / "free" / "python3", "#!/bin/sh\necho cpython 3.13 1\n")
    good = program(tmp_path / "good" / "python3", "#!/bin/sh\necho cpython 3.13 0\n")
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in ("shims", "old", "free", "good")))
    assert dev.find_python(Path("/nonexistent/uv")) == good


def test_python_comes_from_uv_else_from_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    answer = "#!/bin/sh\necho cpython 3.13 0\n"
    of_uv = program(tmp_path / "of-uv" / "python3.13", answer)
    of_pyenv = program(tmp_path / "pyenv" / "versions" / "3.13.4" / "bin" / "python3.13", answer)
    knowing = program(tmp_path / "knowing-uv", f"#!/bin/sh\necho {of_uv}\n")
    ignorant = program(tmp_path / "ignorant-uv", "#!/bin/sh\nexit 1\n")
    assert (dev.find_python(knowing), dev.find_python(ignorant)) == (of_uv, of_pyenv)


def test_no_python_anywhere_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(dev.Failure, match=r"Python 3\.13 is needed, .* install Python 3\.13"):
        dev.find_python(program(tmp_path / "uv", "#!/bin/sh\nexit 1\n"))


def test_a_uv_that_fails_or_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "shims" / "uv", "#!/bin/sh\nexit 127\n")
    program(tmp_path / "old" / "uv", "#!/bin/sh\necho uv 0.4.30\n")
    good = program(tmp_path / "good" / "uv", "#!/bin/sh\necho 'uv 0.13.8 (platform)'\n")
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in ("shims", "old", "good")))
    assert dev.find_uv() == good


def test_a_pip_that_fails_leads_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installing = (
        '#!/bin/sh\nfor last; do :; done; mkdir -p "$8/bin"; printf "#!/bin/sh\\necho uv 1.0" > "$8/bin/uv"'
    )
    good = program(tmp_path / "good", f'{installing}\nchmod +x "$8/bin/uv"\n')
    bad = program(tmp_path / "bad", "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(dev, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(dev, "on_path", lambda *_names: iter(()))
    monkeypatch.setattr(dev, "pips", lambda _work: iter([[bad], [good]]))
    assert dev.find_uv() == tmp_path / "tools" / "uv" / "bin" / "uv"
    monkeypatch.setattr(dev, "TOOLS", tmp_path / "other")
    monkeypatch.setattr(dev, "pips", lambda _work: iter([[bad]]))
    with pytest.raises(dev.Failure, match=r"uv, .* could not be installed .* install pip"):
        dev.find_uv()
