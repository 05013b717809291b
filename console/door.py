"""How visitors are known. The composition root fills it in: pages know nothing of tokens and platforms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import azure.functions as func

from kernel.people import Person


class SignIn(Protocol):
    """Test people who sign in on a page of ours, on a machine of one's own."""

    @property
    def people(self) -> Mapping[str, Person]:
        """Everybody who may, by short name."""

    def begin(self, request: func.HttpRequest, name: str) -> str:
        """The value of the `Set-Cookie` header that signs a person in. Raises `Unauthenticated`."""

    def end(self) -> str:
        """The value of the `Set-Cookie` header that signs a person out."""


@dataclass(frozen=True)
class Door:
    """Who makes a request, from which network address, and whether a foreign page made it (raises
    `Forbidden`). `platform` is whether App Service Authentication signs people in."""

    identify: Callable[[func.HttpRequest], Person]
    address: Callable[[func.HttpRequest], str | None]
    refuse_foreign: Callable[[func.HttpRequest], None]
    sign_in: SignIn | None = None
    platform: bool = False
