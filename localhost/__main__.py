"""`python -m localhost COMMAND`: one module per command, imported only when it is asked for."""

import importlib
import sys

COMMANDS = {
    "start": ("localhost.host.command", "run the function app of a folder"),
    "up": ("localhost.up", "start the app together with its local dependencies"),
    "demo": ("localhost.demo", "run the demonstration"),
}


def main(argv: list[str]) -> int:
    """Run the command that `argv` names; its exit code. Unknown commands answer 2."""
    arguments = argv[1:] if argv[:1] == ["host"] else argv
    if not arguments or arguments[0] not in COMMANDS:
        lines = [f"  {name:<8}{text}" for name, (_, text) in COMMANDS.items()]
        print("Usage: python -m localhost COMMAND [options]", *lines, sep="\n", file=sys.stderr)
        return 2
    command = importlib.import_module(COMMANDS[arguments[0]][0])
    return int(command.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
