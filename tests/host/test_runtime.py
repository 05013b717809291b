"""The private names of the worker runtime that the host depends on, and the settings files it reads."""

import inspect
import json
import socket
from importlib.metadata import version
from pathlib import Path

import azure_functions_runtime.handle_event as runtime_state  # type: ignore[import-untyped]
import pytest
from azure_functions_runtime import invocation_id_cv
from azure_functions_runtime.functions import FunctionInfo  # type: ignore[import-untyped]
from azure_functions_runtime.native_invocation import (  # type: ignore[import-untyped]
    invocation_request_native,
)
from hypothesis import given
from hypothesis import strategies as st

from localhost.host.jsonfile import read_json_object
from localhost.host.server import listening_socket


def test_the_runtime_is_the_one_that_was_tried() -> None:
    assert version("azure-functions-runtime") == "1.3.0"


def test_native_entry() -> None:
    assert list(inspect.signature(invocation_request_native).parameters) == [
        "invocation_id",
        "function_id",
        "inputs",
        "trigger_metadata",
        "trace_parent",
        "trace_state",
        "retry_count",
        "max_retry_count",
        "retry_exception",
    ]


def test_registry() -> None:
    assert list(inspect.signature(runtime_state._functions.add_indexed_function).parameters) == [
        "function",
        "protos",
    ]
    assert isinstance(runtime_state._functions._functions, dict)
    assert {"func", "function_id", "is_async", "name"} <= set(FunctionInfo._fields)
    assert invocation_id_cv.get() is None


def test_sockets_are_sent_without_delay() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


_JSON = st.dictionaries(
    st.text(max_size=10),
    st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5),
    max_size=5,
)


@given(value=_JSON, comment=st.text(st.characters(exclude_characters="\r\n*/", codec="utf-8"), max_size=10))
def test_comments_do_not_change_what_json_says(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object], comment: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    text = json.dumps(value, indent=1).replace("\n", f" //{comment}\n /*{comment}*/")
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert read_json_object(path) == value


def test_place_of_a_fault_counts_comments(tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    path.write_text('{\n  // one\n  /* two\n  three */ "a": oops\n}')
    with pytest.raises(Exception, match="line 4, column 17: Expecting value"):
        read_json_object(path)
