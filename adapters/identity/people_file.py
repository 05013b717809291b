"""Named test people out of a JSON file, for a machine of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from kernel.errors import Fault, InvalidSettings
from kernel.people import Addressee, Person, Role


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    email: str
    roles: frozenset[Role]
    groups: frozenset[str] = frozenset()


class _File(RootModel[dict[str, _Entry]]):
    """People by their short names."""


class PeopleFile:
    """A directory of the people in a file. Raises `InvalidSettings` when it is not one."""

    def __init__(self, path: Path) -> None:
        self._people = {name: _person(name, entry) for name, entry in _read(path).root.items()}

    @property
    def people(self) -> Mapping[str, Person]:
        """Everybody, by short name."""
        return self._people

    def members(self, group: str) -> Sequence[Addressee]:
        """The people of a group."""
        members = (person for person in self._people.values() if group in person.groups)
        return [Addressee(person.id, person.name, person.email) for person in members]


def _person(name: str, entry: _Entry) -> Person:
    return Person(f"local:{name}", entry.name, entry.email, entry.roles, entry.groups)


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise InvalidSettings(
            f"The file of test people {path} cannot be read ({exc.strerror}); correct SLUICE_PEOPLE_FILE."
        ) from exc
    except ValidationError as exc:
        faults = [Fault(e["type"], f"{e['msg']}.", path=".".join(map(str, e["loc"]))) for e in exc.errors()]
        raise InvalidSettings(f"The file {path} does not describe test people.", faults=faults) from exc
