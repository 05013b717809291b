"""Settings: all faults at once, no secret in print, and an example that is complete."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidSettings
from kernel.people import Role
from kernel.settings import SETTINGS, Settings, read_settings

ROOT = Path(__file__).resolve().parents[3]
CANARY = "canary-4711"
KEY = base64.b64encode((CANARY * 3)[:32].encode()).decode()
TENANT = "1b2c3d4e-0000-4000-8000-00000000000a"
OTHER_TENANT = "1b2c3d4e-0000-4000-8000-00000000000b"
GOOD = {
    "DATABASE_URL": f"postgresql+psycopg://app:{CANARY}@127.0.0.1/sluice",
    "AzureWebJobsStorage": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={CANARY}",
    "SLUICE_KEY_ENCRYPTION_KEY": KEY,
    "SLUICE_TENANT_ID": TENANT,
    "SLUICE_AUDIENCE": "sluice-api, api://sluice",
}
BAD = {
    "DATABASE_URL": f"postgres://app:{CANARY}@127.0.0.1/sluice",
    "AzureWebJobsStorage": f"AccountKey={CANARY}",
    "SLUICE_ENVIRONMENT": CANARY,
    "SLUICE_KEY_ENCRYPTION_KEY": CANARY,
    "SLUICE_MAX_UPLOAD_BYTES": CANARY,
    "SLUICE_DATABASE_POOL_SIZE": "0",
    "SLUICE_MAX_RECOVERIES": CANARY,
    "SLUICE_SILENT_AFTER": CANARY,
    "SLUICE_HISTORY_KEPT": "0s",
    "SLUICE_GATE_LEASE": "5",
    "SLUICE_IDENTITY": CANARY,
    "SLUICE_TENANT_ID": CANARY,
    "SLUICE_ALLOWED_TENANTS": f"{TENANT}, {CANARY}",
    "SLUICE_AUTHORITY": f"http://{CANARY}.example.com",
    "SLUICE_GRAPH": f"https://graph.example.com/?{CANARY}",
    "SLUICE_GROUPS": f'{{"finance": "{CANARY}"}}',
    "SLUICE_ROLES": "[]",
    "SLUICE_PUBLIC_URL": f"http://{CANARY}.example.com",
    "SLUICE_LINK_KEYS": f"{KEY},{CANARY}",
    "SLUICE_TIME_ZONE": CANARY,
    "SLUICE_MAIL": CANARY,
    "SLUICE_MAIL_FROM": f"{CANARY}\r\nBcc: a@example.com",
    "SLUICE_SMTP_PORT": CANARY,
    "SLUICE_SMTP_SECURITY": CANARY,
    "SLUICE_ACS_ENDPOINT": CANARY,
}


def faults(environ: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(environ)
    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.to_dict()}"
    return [(fault.code, fault.path) for fault in caught.value.faults]


def test_what_is_not_given_has_a_default() -> None:
    settings = read_settings(GOOD)
    assert settings.environment == "sandbox"
    assert settings.secrets_file == Path("secrets.json")
    assert settings.max_upload_bytes == 50_000_000
    assert settings.database_pool_size == 4
    assert settings.platform_authentication is False
    assert (settings.max_recoveries, settings.silent_after) == (5, timedelta(minutes=40))
    assert settings.history_kept == timedelta(days=7)
    assert settings.gate_lease == timedelta(minutes=5)
    assert settings.database_url.reveal() == GOOD["DATABASE_URL"]
    assert settings.storage_connection.reveal() == GOOD["AzureWebJobsStorage"]
    assert settings.key_encryption_key.reveal() == KEY


def test_what_is_given_counts() -> None:
    settings = read_settings(
        {
            **GOOD,
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "SLUICE_ENVIRONMENT": "production",
            "SLUICE_SECRETS_FILE": "elsewhere/vault.json",
            "SLUICE_MAX_UPLOAD_BYTES": "1",
            "SLUICE_DATABASE_POOL_SIZE": "20",
            "SLUICE_MAX_RECOVERIES": "9",
            "SLUICE_SILENT_AFTER": "90m",
            "SLUICE_HISTORY_KEPT": "1d",
            "WEBSITE_AUTH_ENABLED": "True",
            "UNRELATED": "x",
        }
    )
    assert settings.storage_connection.reveal() == "UseDevelopmentStorage=true"
    assert (settings.environment, settings.secrets_file) == ("production", Path("elsewhere/vault.json"))
    assert (settings.max_upload_bytes, settings.database_pool_size) == (1, 20)
    assert settings.platform_authentication is True
    assert (settings.max_recoveries, settings.silent_after) == (9, timedelta(minutes=90))
    assert settings.history_kept == timedelta(days=1)


def test_everything_that_is_missing_is_told_at_once() -> None:
    assert faults({}) == [("missing", setting.name) for setting in SETTINGS if setting.name in GOOD]
    assert faults(dict.fromkeys(GOOD, "")) == faults({})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert faults(BAD) == [("invalid", setting.name) for setting in SETTINGS if setting.name in BAD]
    del (mixed := dict(BAD))["DATABASE_URL"]
    assert faults(mixed)[0] == ("missing", "DATABASE_URL")
    assert len(faults(mixed)) == len(BAD)


@pytest.mark.parametrize(
    "key", [KEY[:-4], KEY + KEY, "not base64!", base64.b64encode(b"k" * 31).decode(), "é"]
)
def test_the_key_is_32_bytes_that_are_not_all_zero(key: str) -> None:
    assert faults({**GOOD, "SLUICE_KEY_ENCRYPTION_KEY": key}) == [("invalid", "SLUICE_KEY_ENCRYPTION_KEY")]


@pytest.mark.parametrize("number", ["-1", "0", "1.5", "1e3", " 1", "many", "²"])
def test_numbers_are_whole_and_above_0(number: str) -> None:
    assert faults({**GOOD, "SLUICE_MAX_UPLOAD_BYTES": number}) == [("invalid", "SLUICE_MAX_UPLOAD_BYTES")]


SAYS_SO = {
    **dict.fromkeys(("true", "TRUE", "True", "1", " true "), True),
    **dict.fromkeys(("false", "0", "no", "yes please", ""), False),
}


@pytest.mark.parametrize(("text", "on"), SAYS_SO.items())
def test_authentication_of_the_platform_is_trusted_only_when_it_says_so(text: str, on: bool) -> None:
    assert read_settings({**GOOD, "WEBSITE_AUTH_ENABLED": text}).platform_authentication is on


def test_settings_show_no_secret() -> None:
    settings = read_settings(GOOD)
    assert CANARY not in f"{settings} {settings!r} {vars(settings)}"
    assert KEY not in f"{settings} {settings!r} {vars(settings)}"
    assert repr(settings).count("Secret(***)") == 3


@given(st.dictionaries(st.sampled_from([setting.name for setting in SETTINGS]), st.text(max_size=12)))
def test_any_environment_gives_settings_or_faults(environ: dict[str, str]) -> None:
    try:
        read_settings(environ)
    except InvalidSettings as exc:
        names = [setting.name for setting in SETTINGS]
        places = [names.index(fault.path) for fault in exc.faults]
        assert places == sorted(set(places))


def example() -> dict[str, str]:
    values: dict[str, str] = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    return values


def names_in_host_json() -> set[str]:
    return set(re.findall(r"%(\w+)%", (ROOT / "host.json").read_text()))


def test_the_example_has_every_setting_and_no_other() -> None:
    read_elsewhere = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT"} | names_in_host_json()
    assert set(example()) == {setting.name for setting in SETTINGS} | read_elsewhere


def test_the_example_can_be_used_but_for_the_key_that_nobody_may_share() -> None:
    values = example()
    assert faults(values) == [("invalid", "SLUICE_KEY_ENCRYPTION_KEY")]
    assert isinstance(read_settings({**values, "SLUICE_KEY_ENCRYPTION_KEY": KEY}), Settings)


def test_the_example_shows_the_defaults() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS if setting.default is not None}
    # but for identity: it is a file for machines of one's own
    assert {name: example()[name] for name in defaults} == {**defaults, "SLUICE_IDENTITY": "local"}


def test_every_field_is_a_setting_and_explained_by_its_name() -> None:
    source = (ROOT / "kernel" / "settings.py").read_text()
    explained = dict(re.findall(r'^    (\w+): [\w]+\n    """(\w+):', source, re.MULTILINE))
    assert explained == {setting.field: setting.name for setting in SETTINGS}
    fields: Any = Settings.__dataclass_fields__
    assert set(fields) == set(explained)


# Identity -------------------------------------------------------------------------------------------

LOCAL = {**{name: value for name, value in GOOD.items() if "TENANT" not in name}, "SLUICE_IDENTITY": "local"}


def test_entra_is_the_default_and_needs_a_tenant_and_an_audience() -> None:
    settings = read_settings(
        {**GOOD, "SLUICE_ALLOWED_TENANTS": f"{OTHER_TENANT},", "SLUICE_ROLES": '{"x": "admin"}'}
    )
    assert (settings.identity, settings.tenant_id) == ("entra", TENANT)
    assert settings.audience == {"sluice-api", "api://sluice"}
    assert settings.allowed_tenants == {OTHER_TENANT}
    assert settings.roles == {"x": Role.ADMIN}
    without = {
        name: value for name, value in GOOD.items() if name not in ("SLUICE_TENANT_ID", "SLUICE_AUDIENCE")
    }
    assert faults(without) == [("missing", "SLUICE_TENANT_ID"), ("missing", "SLUICE_AUDIENCE")]
    assert faults({**GOOD, "SLUICE_AUDIENCE": " , "}) == [("missing", "SLUICE_AUDIENCE")]


def test_test_people_are_for_a_machine_of_ones_own() -> None:
    assert read_settings(LOCAL).identity == "local"
    for ours in (
        {"CONTAINER_NAME": "dev"},
        {"WEBSITE_HOSTNAME": "localhost:7071"},
        {"WEBSITE_HOSTNAME": "127.0.0.1:7071"},
        {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"},
    ):
        assert read_settings({**LOCAL, **ours}).identity == "local"


@pytest.mark.parametrize(
    "sign",
    [
        {"WEBSITE_INSTANCE_ID": "4f8a"}, {"WEBSITE_SITE_NAME": "sluice"}, {"WEBSITE_POD_NAME": "p"},
        {"WEBSITE_SKU": "FlexConsumption"},
        {"LEGION_SERVICE_HOST": "10.0.0.1"}, {"CONTAINER_APP_NAME": "sluice"},
        {"IDENTITY_ENDPOINT": "http://localhost:4141"}, {"WEBSITE_HOSTNAME": "sluice.azurewebsites.net"},
        {"WEBSITE_AUTH_ENABLED": "true"},
        {"SLUICE_ENVIRONMENT": "production"}, {"WEBSITE_HOSTNAME": "10.1.2.3:80"},
    ],
)  # fmt: skip
def test_test_people_keep_the_app_from_starting_elsewhere(sign: dict[str, str]) -> None:
    assert faults({**LOCAL, **sign}) == [("invalid", "SLUICE_IDENTITY")]
    assert read_settings({**GOOD, **sign}).identity == "entra"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_IDENTITY", "Local"), ("SLUICE_TENANT_ID", "contoso.com"), ("SLUICE_TENANT_ID", "common"),
        ("SLUICE_AUTHORITY", "http://login.example.com"), ("SLUICE_AUTHORITY", "login.example.com"),
        ("SLUICE_AUTHORITY", "http://localhost.example.com"), ("SLUICE_GRAPH", "https://"),
        ("SLUICE_GROUPS", '{"a": 1}'), ("SLUICE_GROUPS", "[" * 100_000), ("SLUICE_ROLES", '{"a": "king"}'),
        ("SLUICE_ROLES", "null"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    assert faults({**GOOD, name: value}) == [("invalid", name)]
    assert (
        read_settings({**GOOD, "SLUICE_AUTHORITY": "http://127.0.0.1:8080/"}).authority
        == "http://127.0.0.1:8080"
    )


# Messages -------------------------------------------------------------------------------------------

REACHED = {"SLUICE_PUBLIC_URL": "https://sluice.example.com/", "SLUICE_LINK_KEYS": f"{KEY}, {KEY}"}
FROM = {"SLUICE_MAIL_FROM": "Sluice <sluice@example.com>"}


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SLUICE_MAIL": "smtp"}, ["SLUICE_MAIL_FROM", "SLUICE_SMTP_HOST"]),
        ({"SLUICE_MAIL": "graph"}, ["SLUICE_MAIL_FROM"]),
        ({"SLUICE_MAIL": "acs"}, ["SLUICE_MAIL_FROM", "SLUICE_ACS_ENDPOINT"]),
        (
            {"SLUICE_MAIL": "smtp", "SLUICE_SMTP_HOST": "h", "SLUICE_SMTP_USER": "u", **FROM},
            ["SLUICE_SMTP_SECRET"],
        ),
    ],
)
def test_each_way_to_send_mail_has_its_needs(given: dict[str, str], missing: list[str]) -> None:
    assert faults({**GOOD, **REACHED, **given}) == [("missing", name) for name in missing]


@pytest.mark.parametrize(
    "channel", [{"SLUICE_MAIL": "graph", **FROM}, {"SLUICE_TEAMS_SECRET": "t"}, {"SLUICE_SLACK_SECRET": "s"}]
)
def test_messages_need_a_place_to_lead_to(channel: dict[str, str]) -> None:
    assert faults({**GOOD, **channel}) == [("missing", "SLUICE_PUBLIC_URL"), ("missing", "SLUICE_LINK_KEYS")]
    settings = read_settings({**GOOD, **REACHED, **channel})
    assert settings.public_url == "https://sluice.example.com"
    assert [one.reveal() for one in settings.link_keys] == [KEY, KEY]
    assert CANARY not in repr(settings)
