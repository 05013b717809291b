"""Turns templates into pages. Imports Jinja2 late."""

from collections.abc import Mapping
from functools import cached_property, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from console import figures, wording
from console.statics import Statics

if TYPE_CHECKING:
    from jinja2 import Environment


class Rendering:
    """The templates of this package, loaded once. Every value in them is escaped."""

    def __init__(self, statics: Statics, zone: ZoneInfo, environment: str) -> None:
        self._statics, self._zone, self._deployed_as = statics, zone, environment

    def page(self, template: str, content: Mapping[str, Any]) -> str:
        """A page of HTML."""
        return self._templates.get_template(template).render(content)

    @cached_property
    def _templates(self) -> "Environment":
        from jinja2 import DictLoader, Environment, StrictUndefined

        folder = files("console") / "templates"
        sources = {one.name: one.read_text("utf-8") for one in folder.iterdir()}
        made = Environment(
            loader=DictLoader(sources), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        for function in (figures.number, figures.signed, figures.percent, figures.label, figures.count):
            made.filters[function.__name__] = function
        made.filters["machine_time"] = figures.machine_time
        made.filters["moment"] = partial(figures.moment, zone=self._zone)
        made.globals |= {
            "asset": self._statics.address, "environment": self._deployed_as, "wording": wording,
            "chips": wording.CHIPS, "left": figures.left,
        }  # fmt: skip
        return made
