"""Values of sensitive fields do not pass, and neither do values of which nobody said what they are."""

import json
from base64 import b64encode
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Fault, InvalidData, SluiceError, Transient
from kernel.redaction import REDACTED, Scrubber, redact_error, redact_fault, redact_record

CANARY = "canary-4711"
NAMES = st.sampled_from(["worker", "salary", "note", "day"])


def fault(field: str | None, value: str | None = CANARY) -> Fault:
    return Fault("c", "Text.", path="a.b", line=3, field=field, value=value, hint="Do this.")


@pytest.mark.parametrize("field", ["worker", None])
def test_a_sensitive_value_and_one_of_no_known_field_are_taken_out(field: str | None) -> None:
    clean = redact_fault(fault(field), ["worker"])
    assert clean.value == REDACTED
    assert CANARY not in f"{clean} {clean!r} {clean.to_dict()}"
    assert clean.to_dict() == {**fault(field).to_dict(), "value": REDACTED}


def test_other_values_stay() -> None:
    assert redact_fault(fault("note"), ["worker"]) == fault("note")
    assert redact_fault(fault("note"), []) == fault("note")


@pytest.mark.parametrize("field", ["worker", "note", None])
def test_a_fault_without_a_value_stays_as_it_is(field: str | None) -> None:
    assert redact_fault(fault(field, None), ["worker"]) == fault(field, None)


@pytest.mark.parametrize("error", [InvalidData, Transient])
def test_an_error_keeps_all_but_the_values(error: type[SluiceError]) -> None:
    given_error = error("What happened.", faults=[fault("worker"), fault("note", "fine")], retry_after=3)
    clean = redact_error(given_error, ["worker"])
    assert type(clean) is error
    assert (clean.message, clean.retry_after) == ("What happened.", 3)
    assert [one.value for one in clean.faults] == [REDACTED, "fine"]
    assert CANARY not in f"{clean} {clean!r} {clean.to_dict()}"


@given(st.dictionaries(NAMES, st.just(CANARY) | st.integers() | st.none()), st.lists(NAMES))
def test_a_record_keeps_its_names_and_its_other_values(record: dict[str, Any], sensitive: list[str]) -> None:
    clean = redact_record(record, sensitive)
    assert list(clean) == list(record)
    for name, value in record.items():
        assert clean[name] == (REDACTED if name in sensitive else value)


@given(st.lists(st.builds(fault, st.none() | NAMES), max_size=5), st.sets(NAMES))
def test_no_sensitive_value_passes(faults: list[Fault], sensitive: set[str]) -> None:
    clean = redact_error(InvalidData("Text.", faults=faults), sensitive)
    passed = {one.field for one in clean.faults if one.value == CANARY}
    assert not passed & (sensitive | {None})


# Texts of others ------------------------------------------------------------------------------------

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=4, max_size=40)
WORDS = st.text(st.characters(categories=("L", "N")), min_size=2, max_size=20)


@given(st.text(max_size=80), SECRETS, st.text(max_size=80))
def test_a_credential_goes_in_every_form_wherever_it_stands(before: str, secret: str, after: str) -> None:
    forms = (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], b64encode(secret.encode()).decode())
    for form in forms:
        clean = Scrubber([secret]).text(f"{before}{form}{after}")
        assert form.rstrip("=") not in clean.replace(REDACTED, "") or form in before + after


@pytest.mark.parametrize(
    ("credential", "text"),
    [
        ("AccountName=files;AccountKey=c4n4ryKEY==;EndpointSuffix=x", "key c4n4ryKEY== of files refused"),
        ("https://a.blob.core.windows.net?sv=1&sig=c4n4ry%2Bsig", "refused: sig=c4n4ry%2Bsig"),
        ("postgresql://app:c4n4ryword@db/x", 'password "c4n4ryword" is wrong for files'),
        ("c4n4ry pass/word", "Basic c4n4ry%20pass%2Fword and c4n4ry+pass%2Fword at files"),
        ("xyz", "the password xyz is wrong for files"),
    ],
)
def test_the_secret_part_goes_the_rest_stays(credential: str, text: str) -> None:
    clean = Scrubber([credential]).text(text)
    assert "c4n4ry" not in clean
    assert "xyz" not in clean
    assert REDACTED in clean
    assert ("files" in clean) == ("files" in text)


@pytest.mark.parametrize("text", ["Bearer abcdef.123456", "authorization: basic dXNlcjpwYXNzd29yZA=="])
def test_what_looks_like_a_credential_goes_even_if_it_is_not_ours(text: str) -> None:
    assert Scrubber([]).text(text).endswith(REDACTED)


@pytest.mark.parametrize(
    ("value", "text", "clean"),
    [
        ("Ann Ace", "ann ace is unknown, ANN ACE!", "[redacted] is unknown, [redacted]!"),
        ("Ann", "Annual report of Ann", "Annual report of [redacted]"),
        ('Ann "A" Ace', r"no \"Ann \"A\" Ace\" here", r"no \"[redacted]\" here"),
        (Decimal("1234.50"), "1234.50, 1234.5, 1,234.50 and 51234.50", None),
        (Decimal("1E+3"), "1000 and 1,000", "[redacted] and [redacted]"),
        (12345, "12,345 or 12345 of 123456", "[redacted] or [redacted] of 123456"),
        (date(1980, 2, 3), "born 1980-02-03", "born [redacted]"),
        ("Zoë", "Zoe\u0308 is unknown", "[redacted] is unknown"),
        (7, "7 records", "7 records"),
        (None, "None of these", "None of these"),
        (True, "True or not", "True or not"),
        ("", "nothing", "nothing"),
    ],
)
def test_values_go_as_whole_words(value: Any, text: str, clean: str | None) -> None:
    expected = "[redacted], [redacted], [redacted] and 51234.50" if clean is None else clean
    assert Scrubber([], [value]).text(text) == expected


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_no_value_is_left_as_a_word(values: list[str]) -> None:
    clean = Scrubber([], values).text(" ".join(values)).replace(REDACTED, "")
    assert not set(values) & set(clean.split())


def test_an_error_is_cleaned_in_all_its_texts() -> None:
    told = Fault("c", f"{CANARY} failed", path=f"a.{CANARY}", field="day", value=CANARY, hint=f"not {CANARY}")
    clean = Scrubber([], [CANARY]).error(Transient(f"{CANARY} is busy", faults=[told], retry_after=3))
    assert type(clean) is Transient
    assert (clean.retry_after, clean.message) == (3, f"{REDACTED} is busy")
    assert CANARY not in f"{clean} {clean!r} {clean.to_dict()}"
    assert clean.faults[0].field == "day"
