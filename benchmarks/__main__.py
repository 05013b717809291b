"""`python -m benchmarks [NAME] [OPTIONS]`: one benchmark, or all of them one after the other.

Options without a name are those of `engines`, the comparison with other engines.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
MAIN = "engines"


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if "def main(" in path.read_text("utf-8"))


def main(argv: list[str]) -> int:
    """Run what `argv` asks for; the exit code of the first that failed."""
    known = names()
    if argv and argv[0].startswith("-"):
        argv = [MAIN, *argv]
    if argv and argv[0] not in known:
        print(f"There is no benchmark '{argv[0]}'. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    # Each in a process of its own: none shall inherit the memory or the imports of another.
    for name in argv[:1] or known:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *argv[1:]]
        code = subprocess.run(command, cwd=FOLDER.parent, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
