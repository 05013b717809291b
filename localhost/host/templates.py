"""ASP.NET route templates, which is what `route=` of an HTTP trigger is: parsing, matching and precedence.

Starlette's templates have no optional parts, defaults, constraints or precedence and respect case, so the
matching is done here; dispatch stays with Starlette (see `routes`). Rules from
https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from urllib.parse import unquote
from uuid import UUID

type Check = Callable[[str], bool]
type Part = str | Parameter


class TemplateError(ValueError):
    """The route template cannot be understood."""


@dataclass(frozen=True)
class Parameter:
    """One `{...}` of a template."""

    name: str
    checks: tuple[Check, ...] = ()
    default: str | None = None
    optional: bool = False
    catch_all: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it always stands for some text within one segment."""
        return not (self.optional or self.catch_all or self.default is not None)


@dataclass(frozen=True)
class Template:
    """A parsed route template. Templates that sort lower by `precedence` are tried first."""

    text: str
    pattern: re.Pattern[str]
    parameters: Mapping[str, Parameter]
    precedence: tuple[int, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The route parameters of a decoded path (without leading slash), or None if it does not match."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for group, parameter in zip(found.groups(), self.parameters.values(), strict=True):
            value = group or parameter.default
            if value is None:
                continue
            if not all(check(value) for check in parameter.checks):
                return None
            values[parameter.name] = value
        return values


def parse_template(text: str) -> Template:
    """Parse a route template such as `items/{id:int}/{*rest}`. Raises TemplateError with the reason."""
    segments = [_parse_segment(segment, text) for segment in _split_segments(text)]
    parameters: dict[str, Parameter] = {}
    pattern = ""
    for position, segment in enumerate(segments):
        pattern += _segment_pattern(segment, first=position == 0)
        for part in segment:
            if isinstance(part, Parameter):
                if part.name.casefold() in parameters:
                    raise TemplateError(f"Route '{text}' uses the parameter '{part.name}' twice.")
                parameters[part.name.casefold()] = part
    catch_all = [part.name for part in parameters.values() if part.catch_all]
    if catch_all and not _ends_with(segments, catch_all[0]):
        raise TemplateError(f"Route '{text}': '{catch_all[0]}' takes the rest of the path and must be last.")
    return Template(
        text=text,
        pattern=re.compile(pattern + ("" if catch_all else "/?"), re.IGNORECASE | re.DOTALL),
        parameters=parameters,
        precedence=tuple(_rank(segment) for segment in segments),
    )


def _ends_with(segments: list[list[Part]], name: str) -> bool:
    last = segments[-1][-1]
    return isinstance(last, Parameter) and last.name == name


def decode_path(raw: str) -> str:
    """A request path as ASP.NET routes it: percent-decoded except for slashes, without the first slash."""
    if "%" in raw:
        raw = unquote(re.sub("%2f", "%252F", raw, flags=re.IGNORECASE))
    return raw.removeprefix("/")


def _split_segments(text: str) -> list[str]:
    segments, depth, current = [], 0, ""
    for character in text.strip("/"):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "/" and depth == 0:
            segments.append(current)
            current = ""
        else:
            current += character
    if depth != 0:
        raise TemplateError(f"Route '{text}' has an unmatched brace.")
    return [*segments, current] if current or segments else []


def _parse_segment(segment: str, text: str) -> list[Part]:
    tokens = re.findall(r"\{(?:[^{}]|\{\{|\}\})*\}|[^{}]+", segment)
    parts: list[Part] = [
        _parse_parameter(token[1:-1], text) if token.startswith("{") else token for token in tokens
    ]
    if not parts or "".join(tokens) != segment:
        raise TemplateError(f"Route '{text}' has an empty segment or an unmatched brace.")
    for part, following in pairwise(parts):
        if isinstance(part, Parameter) and isinstance(following, Parameter):
            raise TemplateError(f"Route '{text}' needs a text between '{part.name}' and '{following.name}'.")
    for part in parts:
        if isinstance(part, Parameter) and len(parts) > 1 and not part.is_plain:
            raise TemplateError(f"Route '{text}': '{part.name}' must have its segment for itself.")
    return parts


def _parse_parameter(token: str, text: str) -> Parameter:
    match = re.fullmatch(
        r"(\*{0,2})(\w+)((?::[^:=(?]+(?:\((?:[^()]|\([^()]*\))*\))?)*)(?:=(.*?))?(\??)", token, re.DOTALL
    )
    if match is None:
        raise TemplateError(f"Route '{text}': '{{{token}}}' is not a route parameter.")
    stars, name, constraints, default, optional = match.groups()
    checks = [
        _check(constraint, argument, text)
        for constraint, argument in re.findall(
            r":([^:=(]+)(?:\(((?:[^()]|\([^()]*\))*)\))?", constraints, re.DOTALL
        )
    ]
    return Parameter(name, tuple(checks), default, bool(optional), bool(stars))


def _segment_pattern(segment: list[Part], *, first: bool) -> str:
    slash = "" if first else "/"
    only = segment[0] if len(segment) == 1 else None
    if isinstance(only, Parameter):
        if only.catch_all:
            return "(.*)" if first else "(?:/(.*))?"
        if only.optional or only.default is not None:
            return f"(?:{slash}([^/]+))?"
    return slash + "".join(re.escape(part) if isinstance(part, str) else "([^/]+?)" for part in segment)


def _rank(segment: list[Part]) -> int:
    """ASP.NET's digits: literal 1, mixed or constrained 2, parameter 3, catch-all 4 (constrained) or 5."""
    only = segment[0] if len(segment) == 1 else None
    if isinstance(only, str):
        return 1
    if only is None:
        return 2
    if only.catch_all:
        return 4 if only.checks else 5
    return 2 if only.checks else 3


def _converts(convert: Callable[[str], object]) -> Check:
    def check(value: str) -> bool:
        try:
            convert(value)
        except (ValueError, ArithmeticError):
            return False
        return True

    return check


def _whole(bits: int) -> Check:
    limit = 1 << (bits - 1)

    def check(value: str) -> bool:
        return re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) is not None and -limit <= int(value) < limit

    return check


def _boolean(value: str) -> bool:
    return value.casefold() in ("true", "false")


def _alphabetic(value: str) -> bool:
    return re.fullmatch(r"[a-z]*", value, re.IGNORECASE | re.ASCII) is not None


def _never_empty(value: str) -> bool:
    return value != ""


_PLAIN: Mapping[str, Check] = {
    "int": _whole(32),
    "long": _whole(64),
    "bool": _boolean,
    "datetime": _converts(datetime.fromisoformat),
    "decimal": _converts(Decimal),
    "double": _converts(float),
    "float": _converts(float),
    "guid": _converts(UUID),
    "alpha": _alphabetic,
    "required": _never_empty,
    "nonfile": lambda value: "." not in value.rpartition("/")[2],
    "file": lambda value: "." in value.rpartition("/")[2],
}


def _length(argument: str) -> Check:
    low, _, high = argument.partition(",")
    return lambda value: int(low) <= len(value) <= int(high or low)


def _range(argument: str) -> Check:
    low, _, high = argument.partition(",")
    return lambda value: _whole(64)(value) and int(low) <= int(value) <= int(high)


def _regex(argument: str) -> Check:
    pattern = re.compile(argument.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
    return lambda value: pattern.search(value) is not None


_WITH_ARGUMENT: Mapping[str, Callable[[str], Check]] = {
    "minlength": lambda argument: lambda value: len(value) >= int(argument),
    "maxlength": lambda argument: lambda value: len(value) <= int(argument),
    "length": _length,
    "min": lambda argument: lambda value: _whole(64)(value) and int(value) >= int(argument),
    "max": lambda argument: lambda value: _whole(64)(value) and int(value) <= int(argument),
    "range": _range,
    "regex": _regex,
}


def _check(constraint: str, argument: str, text: str) -> Check:
    name = constraint.strip().casefold()
    if name in _PLAIN and not argument:
        return _PLAIN[name]
    if name in _WITH_ARGUMENT and argument:
        return _WITH_ARGUMENT[name](argument)
    raise TemplateError(f"Route '{text}' uses the constraint '{constraint}', which does not exist.")
