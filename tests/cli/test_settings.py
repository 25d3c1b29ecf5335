"""The settings, and that docs/settings.md says the same."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from phb_fhir.settings import PREFIX, Settings, WrongSetting, read_settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


def kind(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        return "words with commas"
    if literals := [str(it) for it in get_args(annotation) if isinstance(it, str)]:
        return " or ".join(f"`{it}`" for it in literals)
    kinds = {bool: "true or false", int: "whole number", float: "number", Path: "folder"}
    return kinds.get(annotation, "text")


def default(name: str, field: FieldInfo) -> str:
    if name == "data":
        return "`~/.local/share/phb-fhir`"
    if field.default is None or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def bounds(field: FieldInfo) -> str:
    low = [it.ge for it in field.metadata if hasattr(it, "ge")]
    high = [it.le for it in field.metadata if hasattr(it, "le")]
    return f"{low[0]} – {high[0]}" if low and high else ""


def test_every_setting_is_in_the_docs_with_its_default_bounds_and_sentence_and_nothing_else_is() -> None:
    written = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCS.read_text().splitlines()
        if line.startswith(f"| `{PREFIX}")
    ]
    expected = [
        [f"`{PREFIX}{name.upper()}`", kind(field), default(name, field), bounds(field), field.description]
        for name, field in Settings.model_fields.items()
    ]
    assert written == expected


def test_every_number_is_bounded_and_every_setting_has_one_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert re.fullmatch(r"[A-Z].*\.", field.description or ""), name
        if field.annotation in (int, float):
            assert bounds(field), name


def test_without_an_environment_it_listens_on_loopback_with_authentication_and_data_of_its_user() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.open) == ("127.0.0.1", 8000, False)
    assert settings.data == Path.home() / ".local" / "share" / "phb-fhir"
    assert settings.api_url == "http://127.0.0.1:8000/fhir"


def test_a_flag_goes_before_the_environment_which_goes_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHB_PORT", "8001")
    monkeypatch.setenv("PHB_WORKERS", "3")
    settings = read_settings(port=8002, workers=None)
    assert (settings.port, settings.workers, settings.page_size_default) == (8002, 3, 50)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHB_PORT", "")
    monkeypatch.setenv("PHB_MONGODB_URI", "")
    settings = read_settings()
    assert (settings.port, settings.mongodb_uri) == (8000, None)


@pytest.mark.parametrize("name", ["trusted_proxies", "operators"])
def test_networks_are_addresses_or_networks(name: str) -> None:
    assert getattr(read_settings(**{name: "10.0.0.0/8, ::1,192.0.2.1"}), name) == ("10.0.0.0/8", "::1", "192.0.2.1")
    with pytest.raises(WrongSetting) as refused:
        read_settings(**{name: "10.0.0.1/8"})
    assert '"10.0.0.1/8" is not an address or a network such as 10.0.0.0/8' in refused.value.sentence


def test_over_tls_the_base_url_is_https(tmp_path: Path) -> None:
    settings = read_settings(tls_cert=tmp_path / "a.pem", tls_key=tmp_path / "a.key")
    assert (settings.scheme, settings.api_url) == ("https", "https://127.0.0.1:8000/fhir")
    assert read_settings().scheme == "http"


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHB_VERSIONED_UPDATE", "Account, CarePlan,")
    monkeypatch.setenv("PHB_CORS_ORIGINS", "https://a.example,http://localhost:3000")
    settings = read_settings()
    assert settings.versioned_update == ("Account", "CarePlan")
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


def test_a_worker_reads_the_same_settings_from_the_environment_its_parent_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = read_settings(
        open=True,
        host="::1",
        data=tmp_path,
        mongodb_uri="mongodb://h:1/?replicaSet=phb",
        versioned_update="Account,Task",
        commit_time_max_s=2.5,
        log_format="console",
    )
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


def test_a_worker_reads_of_a_list_that_its_parent_was_told_to_leave_empty_that_it_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHB_EVIDENCE_TYPES", ",")
    settings = read_settings(open=True)
    assert settings.evidence_types == ()
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


def test_an_ipv6_host_stands_in_brackets_in_the_base_url() -> None:
    assert read_settings(host="::1").api_url == "http://[::1]:8000/fhir"


def test_a_public_address_is_the_base_url_without_its_last_slash() -> None:
    assert read_settings(base_url="https://phb.example.nhs.uk/r4/").api_url == "https://phb.example.nhs.uk/r4"


@pytest.mark.parametrize(
    ("written", "account", "task"),
    [
        ("", "error", "error"),
        ("Task=off", "error", "off"),
        ("*=warn, Task = error", "warn", "error"),
        ("Account=warn,*=off", "warn", "off"),
    ],
)
def test_a_type_has_its_own_mode_of_validation_or_that_of_all_others(written: str, account: str, task: str) -> None:
    settings = read_settings(validation_modes=written)
    assert (settings.validation_mode("Account"), settings.validation_mode("Task")) == (account, task)


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().port = 1


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "PHB_PORT",
            "65536",
            'The setting port (PHB_PORT) is not right: it should be less than or equal to 65535. It was "65536".',
        ),
        (
            "PHB_WORKERS",
            "two",
            (
                "The setting workers (PHB_WORKERS) is not right: it should be a valid integer, "
                'unable to parse string as an integer. It was "two".'
            ),
        ),
        (
            "PHB_LOG_FORMAT",
            "xml",
            "The setting log_format (PHB_LOG_FORMAT) is not right: it should be 'json' or 'console'. It was \"xml\".",
        ),
        (
            "PHB_BASE_URL",
            "phb.example.nhs.uk",
            (
                "The setting base_url (PHB_BASE_URL) is not right: it should be an http or https address "
                'without query or fragment, and without a password. It was "phb.example.nhs.uk".'
            ),
        ),
        *(
            (
                "PHB_BASE_URL",
                address,
                (
                    "The setting base_url (PHB_BASE_URL) is not right: it should be an http or https address "
                    "without query or fragment, and without a password."
                    + (f' It was "{address}".' if "@" not in address else "")
                ),
            )
            for address in (
                "https://phb example/fhir",
                "https://phb.example:99999/fhir",
                "https://:443/fhir",
                "https://phb:secret@phb.example/fhir",
            )
        ),
        *(
            (
                "PHB_MONGODB_DATABASE",
                name,
                (
                    "The setting mongodb_database (PHB_MONGODB_DATABASE) is not right: it is a database of MongoDB's own, "
                    f'and should be another. It was "{name}".'
                ),
            )
            for name in ("admin", "config", "local")
        ),
        (
            "PHB_DATA",
            "~nobody-of-this-name/phb",
            (
                "The setting data (PHB_DATA) is not right: the folder of that user is not known here. "
                'It was "~nobody-of-this-name/phb".'
            ),
        ),
        (
            "PHB_EVIDENCE_TYPES",
            "application/pdf,png",
            (
                'The setting evidence_types (PHB_EVIDENCE_TYPES) is not right: "png" is not a kind of file such as '
                'application/pdf. It was "application/pdf,png".'
            ),
        ),
        (
            "PHB_CORS_ORIGINS",
            "https://a.example/page",
            (
                'The setting cors_origins (PHB_CORS_ORIGINS) is not right: "https://a.example/page" is not an origin '
                'such as https://example.org. It was "https://a.example/page".'
            ),
        ),
        (
            "PHB_VERSIONED_UPDATE",
            "Account Task",
            (
                'The setting versioned_update (PHB_VERSIONED_UPDATE) is not right: "Account Task" is not a '
                'resource type. It was "Account Task".'
            ),
        ),
        (
            "PHB_VALIDATION_MODES",
            "Account=warn,Task=maybe",
            (
                'The setting validation_modes (PHB_VALIDATION_MODES) is not right: "maybe" is not a mode for Task: '
                'it is error, warn or off. It was "Account=warn,Task=maybe".'
            ),
        ),
        (
            "PHB_VALIDATION_MODES",
            "warn",
            (
                'The setting validation_modes (PHB_VALIDATION_MODES) is not right: "warn" is not a resource type '
                '(or *), "=", and error, warn or off. It was "warn".'
            ),
        ),
        (
            "PHB_VALIDATION_MODES",
            "Task=warn,Task=off",
            (
                "The setting validation_modes (PHB_VALIDATION_MODES) is not right: Task is given a mode twice. "
                'It was "Task=warn,Task=off".'
            ),
        ),
        (
            "PHB_PAGE_SIZE_MAX",
            "10",
            "The settings do not fit together: page_size_default is more than page_size_max.",
        ),
        ("PHB_PROT", "1", "PHB_PROT is not a setting of this server; did you mean PHB_PORT?"),
        ("PHB_XYZZY", "1", "PHB_XYZZY is not a setting of this server; docs/settings.md lists them."),
    ],
)
def test_a_wrong_setting_is_refused_with_one_sentence(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongSetting) as refused:
        read_settings()
    assert refused.value.sentence == sentence


def test_a_data_folder_without_a_name_is_refused() -> None:
    with pytest.raises(WrongSetting, match="it should name a folder"):
        read_settings(open=True, data="")


def test_a_wrong_database_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(WrongSetting) as refused:
        read_settings(mongodb_uri="")
    assert refused.value.sentence == (
        "The setting mongodb_uri (PHB_MONGODB_URI) is not right: it should have at least 1 character."
    )
