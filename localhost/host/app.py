"""Loading a function app from its folder."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localhost.host.errors import HostError
from localhost.host.functions import DURABLE_CLIENT, DURABLE_TRIGGERS, Function
from localhost.host.runtime import WorkerRuntime


@dataclass(frozen=True)
class App:
    """A loaded function app: the functions to serve, and the names of those that settings switch off."""

    functions: Sequence[Function]
    disabled: Sequence[str] = ()

    @property
    def is_durable(self) -> bool:
        """Whether any function needs a task hub."""
        return any(
            binding.type in DURABLE_TRIGGERS or binding.type == DURABLE_CLIENT
            for function in self.functions
            for binding in function.bindings
        )


def load_app(
    runtime: WorkerRuntime, script_root: Path, chosen: frozenset[str], environ: Mapping[str, str]
) -> App:
    """Load the app in `script_root`: all of its functions, or the `chosen` ones.

    Makes the folder the place of its imports and relative paths, as the worker does. Raises HostError.
    """
    os.chdir(script_root)
    packages = script_root / ".python_packages" / "lib" / "site-packages"
    if packages.is_dir():
        sys.path.insert(0, str(packages))
    sys.path.insert(0, str(script_root))
    runtime.start()
    functions = runtime.load(Path(environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")).stem)
    if unknown := chosen - {function.name for function in functions}:
        raise HostError(f"--functions names {', '.join(sorted(unknown))}, which this app does not have.")
    wanted = [function for function in functions if not chosen or function.name in chosen]
    disabled = [function.name for function in wanted if is_disabled(function, environ)]
    return App([function for function in wanted if function.name not in disabled], disabled)


def is_disabled(function: Function, environ: Mapping[str, str]) -> bool:
    """Whether the setting `AzureWebJobs.<name>.Disabled` switches the function off."""
    names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs__{function.name}__Disabled")
    return any(environ.get(name, "").casefold() in ("true", "1") for name in names)
