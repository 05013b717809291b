"""Credentials in definitions are found; ordinary texts are left alone."""

import hashlib
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.catalogue import EXAMPLE
from workflows.leaks import secret_literals

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLXRleHQ"

BY_NAME = [
    *("password", "passwd", "passphrase", "Password", "db_password", "secret", "client_secret", "PASS"),
    *("client-secret", "token", "access_token", "api_key", "apikey", "api-key", "credential", "credentials"),
    *("connection_string", "connectionstring"),
]
BY_FORM = [
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "-----BEGIN PRIVATE KEY-----",
    TOKEN,
    f"Authorization: Bearer {TOKEN}",
    "Bearer abcdef0123456789abcdef",
    "bearer  a1b2c3d4e5f6g7h8",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc==",
    "https://a.blob.core.windows.net/c/f.csv?sv=2024&sig=abc",
    "SharedAccessSignature=sv=2024",
    "AKIAIOSFODNN7EXAMPLE",
    "postgresql://user:hunter2@db.example/erp",
    "https://user:hunter2@example.com/",
    "ghp_" + "a1" * 18,
    "sk-" + "a1" * 12,
    "sk-proj-" + "a1" * 12,
]
HARMLESS = [
    "SELECT worker, sum(hours) AS hours FROM log GROUP BY worker -- per worker",
    hashlib.sha256(b"x").hexdigest(),
    "0191e7a4-5c55-7bbb-8888-1f2e3d4c5b6a",
    "c2hvcnQgdGV4dCBpbiBiYXNlNjQ=",
    "The bearer of bad news",
    "the bearer acknowledgementresponsibilities",
    "https://example.com/a:b@c",
    "https://example.com:8443/path?signature=1&sign=2",
    "mailto:someone@example.com",
    "logs/2024-03-01/a.csv",
    "risk-assessment-for-the-whole-of-the-region",
    "task-sk-list-of-everything-that-must-be-done",
    "eyJust-a-name-that-starts-oddly",
    "12:30 to 13:45 @ site",
    "ratio 1://2:3",
    "",
]
HARMLESS_NAMES = [
    *("bypass", "compass", "tokens", "tokenizer", "key", "secretary", "passport", "passed", "keyboard"),
    *("idempotency_key", "primary_key", "password_column"),
]


@pytest.mark.parametrize("name", BY_NAME)
def test_a_name_gives_a_credential_away(name: str) -> None:
    assert list(secret_literals({"steps": [{"with": {name: "hunter2"}}]})) == [("steps", 0, "with", name)]


@pytest.mark.parametrize("text", BY_FORM)
def test_a_form_gives_a_credential_away(text: str) -> None:
    assert list(secret_literals({"a": [1, {"b": f"x {text} y"}]})) == [("a", 1, "b")]
    assert list(secret_literals(text)) == [()]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_is_no_credential(text: str) -> None:
    assert list(secret_literals({"with": {"note": text}, "list": [text]})) == []


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_ordinary_names_are_no_credentials(name: str) -> None:
    assert list(secret_literals({name: "a longer text"})) == []


@pytest.mark.parametrize(
    "value", ["${{ inputs.password }}", "", "  ", None, 5, True, ["x"], {"type": "text"}]
)
def test_only_a_literal_text_is_a_credential(value: Any) -> None:
    assert list(secret_literals({"password": value})) == []


@pytest.mark.parametrize("place", ["columns", "measures", "reconcile"])
def test_columns_and_measures_may_be_called_like_credentials(place: str) -> None:
    assert list(secret_literals({place: {"token": "text", "secret": "count(*)"}})) == []
    assert list(secret_literals({place: {"token": TOKEN}})) == [(place, "token")]


def test_the_example_has_no_credentials() -> None:
    assert list(secret_literals(yaml.safe_load(EXAMPLE))) == []


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.sampled_from(HARMLESS) | st.integers() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(HARMLESS_NAMES), inner, max_size=3)
        ),
    ),
    st.sampled_from(BY_FORM),
)
def test_one_credential_among_ordinary_values_is_found(data: Any, text: str) -> None:
    assert list(secret_literals(data)) == []
    assert list(secret_literals([data, {"x": [data, text]}])) == [(1, "x", 1)]


@pytest.mark.parametrize(
    "part", ["eyJ", "eyJ-", "sk-", "bearer ", "://a:", "-----BEGIN ", "ghp_", "AKIA", "eyJaaaaaaaaaa."]
)
def test_looking_takes_no_time(part: str) -> None:
    text = part * (262_144 // len(part))
    started = time.process_time()
    list(secret_literals(text))
    assert time.process_time() - started < 5
