"""What a SELECT reads and whether it may run: checks over DuckDB's own parse tree.

Every table must be an earlier step or a name that the statement defines, every function must be CONSISTENT
in DuckDB's catalogue (so `now`, `random` and `uuid` are refused), table functions are limited to those that
only make rows, and every inner query is a SELECT too (`json_serialize_sql` lets DELETE pass in WITH).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernel.errors import Fault

MAX_CHARACTERS = 32_768
ROW_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
# Read the clock or the release although DuckDB's catalogue calls them CONSISTENT.
CHANGING_FUNCTIONS = frozenset({"age", "current_localtime", "current_localtimestamp", "version"})
# Macros have no stability in the catalogue; these are defined by consistent functions only.
PURE_MACROS = frozenset(
    {"nullif", "if", "split_part", "date_add", "days_in_month", "fdiv", "fmod", "array_to_string", "list_sum",
     "list_avg", "list_min", "list_max", "list_count", "list_append", "list_prepend", "list_reverse",
     "weighted_avg", "wavg"}
)  # fmt: skip
# Names that read the clock or the session although they look like columns.
CLOCK_NAMES = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user",
     "session_user", "user", "current_role", "current_catalog", "current_schema", "current_database"}
)  # fmt: skip
_SUMS = frozenset({"sum", "count", "count_star", "count_if"})
_ONLY_SELECT, _WRITES_HINT = "Only SELECT is allowed here.", "Writes go through a push step."
_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


@dataclass(frozen=True)
class Statement:
    """A checked SELECT: the tables it reads, without those it defines itself, and its faults."""

    tables: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()


def refused(fault: Fault) -> Statement:
    """A statement of which nothing can be said but why it is refused."""
    return Statement(faults=(fault,))


def read_statement(tree: Mapping[str, Any], sql: str, consistent: frozenset[str]) -> Statement:
    """Judge the tree that `json_serialize_sql` made of `sql`; `consistent` are the functions it may call."""
    if tree["error"]:
        return _unparsed(tree, sql)
    if len(tree["statements"]) != 1:
        return refused(Fault("sql_statements", "Write exactly one SELECT.", hint="Remove the `;`."))
    uses = _Uses()
    _collect(tree["statements"][0], uses)
    return Statement(frozenset(uses.tables), tuple(_faults(uses, consistent)))


@dataclass
class _Uses:
    tables: set[str] = field(default_factory=set)
    qualified: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    table_functions: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    writes: bool = False
    samples: bool = False
    shows: bool = False


def adds_up(tree: Mapping[str, Any]) -> bool:
    """Whether what the statement selects for two parts of the rows always adds up to what it selects for all:
    sums and counts, and sums and differences of those. Not recursive: trees are deep."""
    waiting = [tree["statements"][0]["node"]["select_list"][0]]
    while waiting:
        node = waiting.pop()
        if node["class"] != "FUNCTION" or node["distinct"]:
            return False
        if node["is_operator"] and node["function_name"] in ("+", "-"):
            waiting += [argument["expression"] for argument in node["arguments"]]
        elif node["function_name"] not in _SUMS:
            return False
    return True


def _unparsed(tree: Mapping[str, Any], sql: str) -> Statement:
    if tree["error_type"] == "not implemented":
        return refused(Fault("sql_statement", _ONLY_SELECT, hint=_WRITES_HINT))
    line = sql.count("\n", 0, int(tree.get("position") or 0)) + 1
    said = f"The SQL does not parse: {tree['error_message']} (line {line} of the SQL)."
    return refused(Fault("sql_syntax", said, hint="Correct it there or just before."))


def _faults(uses: _Uses, consistent: frozenset[str]) -> Iterator[Fault]:
    allowed = (consistent | PURE_MACROS | {"unnest"}) - CHANGING_FUNCTIONS
    called = uses.functions - uses.table_functions
    for name in sorted((called - allowed) | (uses.names & CLOCK_NAMES)):
        hint = "Pass such values as inputs of the run."
        if name in uses.names:
            hint += f" For a column of that name, put its table in front: t.{name}."
        said = f"The function {name!r} is unknown or does not give the same answer every time."
        yield Fault("sql_function", said, hint=hint)
    if uses.samples:
        said = "A sample does not give the same rows every time."
        yield Fault("sql_function", said, hint="Select rows by their values.")
    if uses.writes:
        yield Fault("sql_statement", _ONLY_SELECT, hint=_WRITES_HINT)
    for name in sorted(uses.table_functions - ROW_FUNCTIONS):
        hint = "Fetch records in a step of their own."
        yield Fault("sql_access", f"{name!r} reads from outside.", hint=hint)
    for name in sorted(uses.qualified):
        yield Fault("sql_access", f"The table {name!r} is outside.", hint="Name an earlier step's key.")
    if uses.shows:
        hint = "Select from an earlier step's key."
        yield Fault("sql_access", "DESCRIBE, SHOW and SUMMARIZE look at the engine's own tables.", hint=hint)


def _collect(root: Any, uses: _Uses) -> None:
    """Walk the tree with the table names that are defined around each node. Not recursive: trees are deep."""
    waiting: list[tuple[Any, frozenset[str]]] = [(root, frozenset())]
    while waiting:
        node, defined = waiting.pop()
        if isinstance(node, list):
            waiting += [(child, defined) for child in node]
        elif isinstance(node, dict):
            if isinstance(node.get("cte_map"), dict):
                defined = _define(node["cte_map"].get("map", []), defined, waiting)
            _note(node, defined, uses)
            waiting += [(child, defined) for name, child in node.items() if name != "cte_map"]


def _define(
    entries: list[dict[str, Any]], defined: frozenset[str], waiting: list[tuple[Any, frozenset[str]]]
) -> frozenset[str]:
    """The names known after a WITH clause. Each definition sees those before it; a recursive one, itself."""
    for entry in entries:
        name = frozenset({entry["key"].lower()})
        recursive = entry["value"]["query_node"]["type"] == "RECURSIVE_CTE_NODE"
        waiting.append((entry["value"], defined | name if recursive else defined))
        defined |= name
    return defined


def _note(node: dict[str, Any], defined: frozenset[str], uses: _Uses) -> None:
    kind = str(node.get("type"))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        uses.writes = True
    if node.get("sample"):
        uses.samples = True
    match kind:
        case "BASE_TABLE":
            _note_table(node, defined, uses)
        case "TABLE_FUNCTION":
            uses.table_functions.add(node["function"]["function_name"].lower())
        case "SHOW_REF":
            uses.shows = True
        case "COLUMN_REF" if len(node["column_names"]) == 1:
            uses.names.add(node["column_names"][0].lower())
    if "function_name" in node and not node.get("is_operator"):
        uses.functions.add(node["function_name"].lower())


def _note_table(node: dict[str, Any], defined: frozenset[str], uses: _Uses) -> None:
    outside = [node[part] for part in ("catalog_name", "schema_name") if node.get(part)]
    name = node["table_name"].lower()
    if outside:
        uses.qualified.add(".".join([*outside, name]))
    elif name not in defined:
        uses.tables.add(name)
