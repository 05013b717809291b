"""The command of the comparison, as far as it measures nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "explanation" / "performance.md"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_option_and_name_on_the_page_exists() -> None:
    shown = bench("engines", "--help").stdout
    lines = re.findall(r"^python3 dev\.py bench engines(.*?)(?:#|$)", PAGE.read_text(), re.MULTILINE)
    assert lines
    for option in re.findall(r"--[\w-]+", " ".join(lines)):
        assert option in shown
    for name in re.findall(r"--only (\S+)", " ".join(lines)):
        assert set(name.split(",")) <= set(re.findall(r"[\w-]+", shown))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nobody"], "there is no 'nobody'; there are sluice, "),
        (["--rounds", "0"], "use a whole number above 0"),
        (["--work", "W4"], "use some of W1, W2, W3"),
        (["nothing"], "There is no benchmark 'nothing'. There are: costs, counts, engines, http, taskhub."),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(arguments: list[str], said: str) -> None:
    run = bench(*arguments)
    assert run.returncode == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr
