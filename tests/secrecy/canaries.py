"""Values that must not be found, and the forms in which they would be."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

WORKER, NATIONAL, BORN, SALARY = "Zebulon Quartzfield", "QX-559201-77", "1961-07-19", "731943.37"
OTHER_WORKER, HIGH_SALARY, NEGATIVE_SALARY = "Ottoline Brackenbury", "981943.61", "-651943.29"
EDITED, MISFIT = "Peregrine Thistlewood", "Wilhelmina Oakapple"

VALUES: Mapping[str, str] = MappingProxyType(
    {
        "worker": WORKER,
        "national id": NATIONAL,
        "birthday": BORN,
        "salary": SALARY,
        "another worker": OTHER_WORKER,
        "salary that no type admits": HIGH_SALARY,
        "salary that the ERP refuses": NEGATIVE_SALARY.removeprefix("-"),
        "worker that was edited": EDITED,
        "worker where a number should be": MISFIT,
    }
)
SECRETS: Mapping[str, str] = MappingProxyType(
    {
        "bearer-token": "c4n4ry-bearer-5f21",
        "basic-password": "c4n4ry basic/9d07",
        "header-key": "c4n4ry-key-77aa",
        "client-secret": "c4n4ry&client=31c8",
        "wrong-sql-password": "c4n4ry-sql-60e4",
        "wrong-files-connection": "DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
        "BlobEndpoint={endpoint};",
        "pasted-password": "c4n4ry-pasted-1b9f",
    }
)
WRONG_ACCOUNT_KEY = base64.b64encode(b"c4n4ry-account-key-" * 3).decode()


@dataclass(frozen=True)
class Canary:
    """One value, and every run of bytes that would give it away."""

    name: str
    value: str = field(repr=False)
    forms: frozenset[bytes] = field(repr=False)

    def is_in(self, data: bytes) -> bool:
        """Whether it is there in any form; letters in any case."""
        return any(form in data for form in self.forms)


def canary(name: str, value: str) -> Canary:
    """The canary of a value."""
    return Canary(name, value, frozenset(_forms(value)))


def _forms(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield from (plain, value.encode("utf-16-le"), plain.hex().encode())
    yield from (quote(value, safe="").encode(), json.dumps(value)[1:-1].encode())
    for shift in range(3):  # base64 of a text around it, at each of its three alignments
        encoded = base64.b64encode(b"\0" * shift + plain)
        yield encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
