"""What the adapters offer, asked through the registry like everyone else."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from adapters.contract import Adapter, CommonSettings, Connector, Operation
from adapters.registry import describe, get_adapter
from docs.sections.models import keys_of
from docs.sections.tables import code, table
from kernel.records import ColumnKind
from kernel.secrets import Secret

_ROOT = Path(__file__).resolve().parents[2]
# The demo's connectors, and one for each system type that the demo does not use.
_FOLDERS = (_ROOT / "examples" / "connectors", _ROOT / "docs" / "reference" / "samples")


class NoVault:
    """Credentials for adapters that are only asked what they can do."""

    def secret(self, name: str) -> Secret:
        """Nothing here ever connects."""
        raise LookupError(name)


def examples() -> dict[str, Connector]:
    """A connector for each system type."""
    paths = [path for folder in _FOLDERS for path in sorted(folder.glob("*.json"))]
    read = {path.stem: json.loads(path.read_text()) for path in paths}
    return {given["system"]: Connector(key, **given) for key, given in read.items()}


def systems() -> str:
    """Every system type with its credentials and folder."""
    return table(("system type", "what it is", "secrets", "more"), map(_system, sorted(examples())))


def common() -> str:
    """The settings that a connector of any system type may have."""
    return keys_of(CommonSettings, CommonSettings.__name__)


def operations(system: str) -> str:
    """The operations of the example connector of this type."""
    found = describe(examples()[system]).values()
    header = ("operation", "verb", "does", "sent again safely", "batch")
    return table(header, (_operation(operation) for operation in found))


def parameters(system: str, name: str) -> str:
    """The settings of a system type, the parameters of one of its operations, or a part of either."""
    models = _models(system)
    if name in models:
        return keys_of(models[name], models[name].__name__)
    model = next(model for model in models.values() if name in model.model_json_schema().get("$defs", {}))
    return keys_of(model, name)


def column_types() -> str:
    """The column types, by their names."""
    return ", ".join(code(kind) for kind in [*ColumnKind, "decimal(p,s)"])


def _models(system: str) -> Mapping[str, type[BaseModel]]:
    found = describe(examples()[system])
    return {"settings": _adapter(system).settings_model} | {name: op.parameters for name, op in found.items()}


def _system(system: str) -> tuple[str, ...]:
    adapter = _adapter(system)
    folder = "/".join(type(adapter).__module__.split(".")[:-1])
    secrets = " or ".join(map(code, adapter.secret_names))
    about = (type(adapter).__doc__ or "").splitlines()[0]
    return code(system), about, secrets, f"[{folder}](../../{folder}/README.md)"


def _operation(operation: Operation) -> tuple[str, ...]:
    writes = operation.verb.side_effect == "write"
    safe = {"native": "yes: the system knows the key", "lookup": "after a look-up", "none": "no"}
    return (
        code(operation.name),
        operation.verb.upper(),
        operation.summary,
        safe[operation.idempotency] if writes else "",
        f"{operation.batch_size:,} record{'' if operation.batch_size == 1 else 's'}" if writes else "",
    )


def _adapter(system: str) -> Adapter:
    return get_adapter(examples()[system], "sandbox", NoVault())
